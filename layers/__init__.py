"""The catalogue: a layer a file, in Caffe's groups."""

# vision
from dltrain.layers import convolution, crop, deconvolution, im2col, locally_connected, pad, pooling, roi_pooling, spp
from dltrain.layers import unpooling, upsample

# common
from dltrain.layers import drop_connect, multiplicative
from dltrain.layers import dropout, inner_product

# activations
from dltrain.layers import (
    abs_val, bnll, clip, elu, erf, exact_gelu, exp, gelu, hard_swish,
    log, maxout, power, prelu, relu, relu6, sigmoid, soft_shrink, swish, tanh, threshold,
)  # fmt: skip

# normalisation
from dltrain.layers import batch_norm, bias, group_norm, instance_norm, layer_norm, local_contrast_norm, lrn, mvn, scale

# recurrent
from dltrain.layers import embed, gru, gru_cell, lstm, lstm_cell, rnn, rnn_cell

# utility
from dltrain.layers import (
    arg_max, batch_reindex, filter, gram, matmul, permute, reduction, reshape, silence, slice, split, tile, where,
)  # fmt: skip
from dltrain.layers import constant, dummy_data, input, parameter, python, random
from dltrain.layers import concat, eltwise, flatten, log_softmax, softmax

# losses and metrics
from dltrain.layers import (
    contrastive_loss, dice_loss, euclidean_loss, focal_loss, gaussian_nll_loss, hierarchical_softmax_loss, hinge_loss,
    infogain_loss, kl_divergence_loss, l1_loss, logistic_loss, margin_ranking_loss, multinomial_logistic_loss,
    sampled_softmax_loss, sigmoid_cross_entropy_loss, smooth_l1_loss, softmax_with_loss, triplet_loss,
)  # fmt: skip
from dltrain.layers import accuracy, auc, confusion_matrix, mean_iou, perplexity, precision_recall

__all__ = [
    "accuracy", "concat", "convolution", "dropout", "eltwise", "euclidean_loss", "flatten", "inner_product",
    "pooling", "relu", "sigmoid", "softmax", "softmax_with_loss", "tanh",
    "abs_val", "bnll", "clip", "elu", "erf", "exact_gelu", "exp", "gelu", "hard_swish", "log", "maxout", "power",
    "prelu", "relu6", "soft_shrink", "swish", "threshold", "batch_norm", "bias", "group_norm", "instance_norm", "layer_norm",
    "local_contrast_norm", "lrn", "mvn", "scale", "log_softmax",
    "arg_max", "batch_reindex", "constant", "drop_connect", "dummy_data", "filter", "gram", "input", "matmul",
    "multiplicative", "parameter", "permute", "python", "random", "reduction", "reshape", "silence", "slice",
    "split", "tile", "where",
    "crop", "deconvolution", "im2col", "locally_connected", "pad", "roi_pooling", "spp", "unpooling", "upsample",
    "embed", "gru", "gru_cell", "lstm", "lstm_cell", "rnn", "rnn_cell",
    "auc", "confusion_matrix", "contrastive_loss", "dice_loss", "focal_loss", "gaussian_nll_loss", "hierarchical_softmax_loss",
    "hinge_loss", "infogain_loss", "kl_divergence_loss", "l1_loss", "logistic_loss", "margin_ranking_loss", "mean_iou",
    "multinomial_logistic_loss", "perplexity", "precision_recall", "sampled_softmax_loss", "sigmoid_cross_entropy_loss",
    "smooth_l1_loss", "triplet_loss",
]  # fmt: skip
