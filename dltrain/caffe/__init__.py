"""The files that Caffe left behind: prototxt, caffemodel, solverstate, binaryproto; read and written, nothing of them run."""
