"""Other people's nets as ours, and ours as theirs: Caffe and ONNX."""
