"""Factories of networks that papers are measured with and torchvision has not, or not in a form that is divided."""

from tiersplit_import.models.faster_rcnn import faster_rcnn, faster_rcnn_late
from tiersplit_import.models.yolov3 import yolov3, yolov3_spp, yolov3_tiny

__all__ = ["faster_rcnn", "faster_rcnn_late", "yolov3", "yolov3_spp", "yolov3_tiny"]
