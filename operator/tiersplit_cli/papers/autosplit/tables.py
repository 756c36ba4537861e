"""AUTO-SPLIT's tables, figures and sections by the words that `tiersplit reproduce autosplit --table` knows."""

from collections.abc import Callable, Mapping

from tiersplit_cli.papers.autosplit import (
    figure_3,
    figure_4,
    figure_5,
    figure_6,
    figure_7,
    figure_8,
    planning,
    section_5_3,
    table_1,
    table_2,
    table_3,
    table_8,
    table_9,
    table_10,
    trained,
    transmission,
)
from tiersplit_cli.papers.rows import Row

TABLES: Mapping[str, Callable[[], list[Row]]] = {
    "1": table_1.rows,
    "2": table_2.rows,
    "3": table_3.rows,
    "4": transmission.table_4,
    "5": transmission.table_5,
    "6": transmission.table_6,
    "7": transmission.table_7,
    "8": table_8.rows,
    "9": table_9.rows,
    "10": table_10.rows,
    "figure-3": figure_3.rows,
    "figure-4": figure_4.rows,
    "figure-5": figure_5.figure_rows,
    "figure-6": figure_6.rows,
    "figure-7": figure_7.rows,
    "figure-8": figure_8.rows,
    "section-4": planning.rows,
    "section-5.2": figure_5.section_rows,
    "section-5.2-trained": trained.rows,
    "section-5.3": section_5_3.rows,
    "section-5.4": figure_7.section_rows,
}
