"""How ONNX Runtime sessions are made: the stage that serves and the profiler that measures use the same options."""

import onnxruntime as ort


def session_options(threads: int) -> ort.SessionOptions:
    """Options of every session on a stage.

    Several sessions in one process get in each other's way when their idle threads spin (chained ResNet-50 was 2.5×
    slower, design §5), so nothing spins and each session has a fixed number of threads. With one thread the caller
    computes itself and no pool exists at all.

    Args:
        threads: intra-op threads, at least 1.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options
