"""The messages of a whole file of Caffe: nets, solvers, their states, blobs, records."""

NET_ENUMS = {
    "Phase": "TRAIN TEST",
    "FillerParameter.VarianceNorm": "FAN_IN FAN_OUT AVERAGE",
    "ParamSpec.DimCheckMode": "STRICT PERMISSIVE",
    "SolverParameter.SnapshotFormat": "HDF5 BINARYPROTO",
    "SolverParameter.SolverMode": "CPU GPU",
    "SolverParameter.SolverType": "SGD NESTEROV ADAGRAD RMSPROP ADADELTA ADAM",
}

NET_FIELDS = {
    "BlobShape": "1 dim int64[packed]",
    "BlobProto": """
        1 num int32 0, 2 channels int32 0, 3 height int32 0, 4 width int32 0, 5 data float[packed], 6 diff float[packed],
        7 shape BlobShape, 8 double_data double[packed], 9 double_diff double[packed]""",
    "BlobProtoVector": "1 blobs BlobProto[]",
    "Datum": """
        1 channels int32, 2 height int32, 3 width int32, 4 data bytes, 5 label int32, 6 float_data float[],
        7 encoded bool false""",
    "FillerParameter": """
        1 type string constant, 2 value float 0, 3 min float 0, 4 max float 1, 5 mean float 0, 6 std float 1,
        7 sparse int32 -1, 8 variance_norm VarianceNorm FAN_IN""",
    "NetParameter": """
        1 name string, 3 input string[], 8 input_shape BlobShape[], 4 input_dim int32[], 5 force_backward bool false,
        6 state NetState, 7 debug_info bool false, 100 layer LayerParameter[], 2 layers V1LayerParameter[]""",
    "SolverParameter": """
        24 net string, 25 net_param NetParameter, 1 train_net string, 2 test_net string[], 21 train_net_param NetParameter,
        22 test_net_param NetParameter[], 26 train_state NetState, 27 test_state NetState[], 3 test_iter int32[],
        4 test_interval int32 0, 19 test_compute_loss bool false, 32 test_initialization bool true, 5 base_lr float,
        6 display int32, 33 average_loss int32 1, 7 max_iter int32, 36 iter_size int32 1, 8 lr_policy string, 9 gamma float,
        10 power float, 11 momentum float, 12 weight_decay float, 29 regularization_type string L2, 13 stepsize int32,
        34 stepvalue int32[], 35 clip_gradients float -1, 14 snapshot int32 0, 15 snapshot_prefix string,
        16 snapshot_diff bool false, 37 snapshot_format SnapshotFormat BINARYPROTO, 17 solver_mode SolverMode GPU,
        18 device_id int32 0, 20 random_seed int64 -1, 40 type string SGD, 31 delta float 1e-8, 39 momentum2 float 0.999,
        38 rms_decay float 0.99, 23 debug_info bool false, 28 snapshot_after_train bool true, 30 solver_type SolverType SGD,
        41 layer_wise_reduce bool true, 42 weights string[]""",
    "SolverState": "1 iter int32, 2 learned_net string, 3 history BlobProto[], 4 current_step int32 0",
    "NetState": "1 phase Phase TEST, 2 level int32 0, 3 stage string[]",
    "NetStateRule": "1 phase Phase, 2 min_level int32, 3 max_level int32, 4 stage string[], 5 not_stage string[]",
    "ParamSpec": "1 name string, 2 share_mode DimCheckMode, 3 lr_mult float 1, 4 decay_mult float 1",
}
