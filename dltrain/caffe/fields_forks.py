"""Messages that well-known forks of Caffe added: SSD's boxes, Fast R-CNN's regions."""

FORK_ENUMS = {
    "PriorBoxParameter.CodeType": "CORNER=1 CENTER_SIZE CORNER_SIZE",
    "MultiBoxLossParameter.LocLossType": "L2 SMOOTH_L1",
    "MultiBoxLossParameter.ConfLossType": "SOFTMAX LOGISTIC",
    "MultiBoxLossParameter.MatchType": "BIPARTITE PER_PREDICTION",
}

# What a fork added to a message of Caffe's own.  Numbers below 200 are taken by another layer in every other fork.
ADDED = {
    "LayerParameter": """
        202 permute_param PermuteParameter, 203 prior_box_param PriorBoxParameter, 206 norm_param NormalizeParameter,
        201 multibox_loss_param MultiBoxLossParameter, 8266711 roi_pooling_param ROIPoolingParameter,
        8266712 smooth_l1_loss_param SmoothL1LossParameter""",
}

FORK_FIELDS = {
    "PermuteParameter": "1 order uint32[]",
    "NormalizeParameter": """
        1 across_spatial bool true, 2 scale_filler FillerParameter, 3 channel_shared bool true, 4 eps float 1e-10""",
    "PriorBoxParameter": """
        1 min_size float[], 2 max_size float[], 3 aspect_ratio float[], 4 flip bool true, 5 clip bool false,
        6 variance float[], 7 img_size uint32, 8 img_h uint32, 9 img_w uint32, 10 step float, 11 step_h float,
        12 step_w float, 13 offset float 0.5""",
    "MultiBoxLossParameter": """
        1 loc_loss_type LocLossType SMOOTH_L1, 2 conf_loss_type ConfLossType SOFTMAX, 3 loc_weight float 1,
        4 num_classes uint32, 5 share_location bool true, 6 match_type MatchType PER_PREDICTION,
        7 overlap_threshold float 0.5, 8 use_prior_for_matching bool true, 9 background_label_id uint32 0,
        13 neg_pos_ratio float 3, 14 neg_overlap float 0.5, 15 code_type PriorBoxParameter.CodeType CORNER""",
    "ROIPoolingParameter": "1 pooled_h uint32 0, 2 pooled_w uint32 0, 3 spatial_scale float 1",
    "SmoothL1LossParameter": "1 sigma float 1",
}
