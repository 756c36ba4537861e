"""AUTO-SPLIT (KDD 2021): its tables, figures and sections as rows."""
