"""Flags: the method, and what single methods have of their own."""

import dataclasses

from cmo_tf.augment import AUGMENTATIONS
from cmo_tf.config.flag import flag
from cmo_tf.methods import METHODS

TWO_STAGE = ("crt", "lws", "las", "mislas", "meta_sampler")
SMOTE = ("smote", "borderline_smote", "safe_level_smote")
META = ("meta_weight_net", "meta_sampler", "metasaug")
SECOND_STAGE = (*TWO_STAGE, "metasaug", "fsa", *SMOTE)


@dataclasses.dataclass(frozen=True)
class MethodFields:
    """The method, and what single methods have of their own."""

    method: str = flag("plain", "named combination of the other flags", choices=METHODS)
    las_lr_factor: float = flag(0.2, "rate of the classifier by that of the scale in stage 2 of las and mislas",
                                above=0, methods=("las", "mislas"))
    stage2_epochs: int = flag(None, "length of the second stage; default lws 5, meta_sampler 24, metasaug 20, the "
                              "others 10", kind=int, low=1, methods=SECOND_STAGE)
    stage2_lr: float = flag(None, "base rate of the second stage; default crt and lws 0.2 (at batch 512), las, mislas, "
                            "meta_sampler and smote 0.1, fsa 0.0005, metasaug 0.0003", kind=float, above=0,
                            methods=SECOND_STAGE)
    shift_bn: bool = flag(True, "statistics of BatchNorm follow the batches of a second stage",
                          methods=(*TWO_STAGE, "fsa"))
    fsa_blocks: int = flag(1, "residual blocks behind fsa's fused map, which learn", low=0, methods=("fsa",))
    fsa_confusing: int = flag(3, "head classes fused with a tail class; 15 for large sets", low=1, methods=("fsa",))
    fsa_fused: int = flag(3, "new images of each tail image in a batch; 15 for large sets", low=1, methods=("fsa",))
    fsa_specific: float = flag(0.8, "activation above which cells are specific", low=0, high=1, methods=("fsa",))
    fsa_generic: float = flag(0.2, "activation below which cells are generic", low=0, high=1, methods=("fsa",))
    smote_space: str = flag("pixels", "what SMOTE interpolates", choices=("pixels", "features"), methods=SMOTE)
    smote_neighbors: int = flag(5, "neighbours that SMOTE draws one of", low=1, methods=SMOTE)
    borderline_kind: int = flag(1, "Borderline-SMOTE 1 or 2", low=1, high=2, methods=("borderline_smote",))
    borderline_context: int = flag(10, "neighbours that show what is borderline", low=1, methods=("borderline_smote",))
    meta_source: str = flag("train", "what balanced meta batches are drawn from: the training split, or images held "
                            "out of it before its tail is cut", choices=("train", "held_out"), methods=META)
    meta_batch: int = flag(100, "images of a meta batch", low=1, methods=META)
    meta_per_class: int = flag(10, "images of each class that --meta_source=held_out takes out", low=1, methods=META)
    m2m_start: float = flag(0.8, "first epoch of m2m's translations; below 1 a fraction of --epochs", low=0,
                            methods=("m2m",))
    m2m_beta: float = flag(0.999, "beta of m2m's choice of images to translate", low=0, high=1, methods=("m2m",))
    m2m_lam: float = flag(0.5, "weight of the answer for the old class that m2m lowers", low=0, methods=("m2m",))
    m2m_gamma: float = flag(0.9, "probability of the new class from which m2m takes an image", low=0, high=1,
                            methods=("m2m",))
    m2m_step: float = flag(0.1, "length of m2m's steps, pixels in [0, 1]", above=0, methods=("m2m",))
    m2m_steps: int = flag(10, "number of m2m's steps", low=0, methods=("m2m",))
    metasaug_form: str = flag("network", "what metasaug trains with augmented features: the network at the end of the "
                              "run, or the linear head alone in a second stage", choices=("network", "head"),
                              methods=("metasaug",))
    metasaug_start: float = flag(0.8, "first epoch of metasaug's augmentation, cross-entropy before; below 1 a "
                                 "fraction of --epochs", low=0, methods=("metasaug",))
    metasaug_strength: float = flag(0.75, "strength of metasaug's augmentation at the end of the run", low=0,
                                    methods=("metasaug",))
    metasaug_meta_lr: float = flag(0.1, "rate of metasaug's correction of covariances", low=0, methods=("metasaug",))
    meta_sampler_lr: float = flag(0.01, "rate of meta_sampler's class weights; 0.001 for large sets", above=0,
                                  methods=("meta_sampler",))
    meta_init_power: float = flag(0.0, "p of meta_sampler's first class weights, n^-p; 0.1 for large sets", low=0,
                                  methods=("meta_sampler",))
    weight_net_lr: float = flag(1e-5, "rate of the weight net of meta_weight_net", above=0,
                                methods=("meta_weight_net",))
    tau: float = flag(None, "exponent of tau_norm; default the best of 0 to 2 on the validation split", kind=float,
                      low=0, methods=("tau_norm",))
    tde_heads: int = flag(2, "parts that the head of causal_norm cuts the features into", low=1,
                          methods=("causal_norm",))
    tde_tau: float = flag(16.0, "scale of causal_norm's cosines", above=0, methods=("causal_norm",))
    tde_gamma: float = flag(1 / 32, "number added to the norms of causal_norm's weights", low=0,
                            methods=("causal_norm",))
    tde_alpha: float = flag(1.5, "strength of causal_norm's subtraction at inference: 1 CIFAR-10, 3 ImageNet-LT",
                            low=0, methods=("causal_norm",))
    tde_follow_lr: bool = flag(False, "tie causal_norm's moving mean to the rate, as its code does on sets other than "
                               "CIFAR", methods=("causal_norm",))
    paco_alpha: float = flag(0.01, "weight of PaCo's positives other than the class centre; 0.05 for large sets", low=0)
    paco_temperature: float = flag(0.05, "temperature of PaCo's contrast; 0.2 for large sets", above=0)
    paco_beta: float = flag(1.0, "weight of PaCo's class centre", above=0)
    paco_supt: float = flag(1.0, "temperature of PaCo's class centres", above=0)
    paco_dim: int = flag(32, "size of PaCo's projections; 128 for large sets", low=1, methods=("paco",))
    paco_queue: int = flag(1024, "keys that PaCo keeps, a multiple of the batch; 8192 for large sets", low=1,
                           methods=("paco",))
    paco_momentum: float = flag(0.999, "momentum of PaCo's key encoder", low=0, high=1, methods=("paco",))
    augment2: str = flag(None, "augmentation of PaCo's second view; default that of the first", kind=str,
                         choices=AUGMENTATIONS, methods=("paco",))
    experts: int = flag(3, "experts of ride", low=2, high=64, methods=("ride",))
    ride_reduced: bool = flag(True, "give ride's private stages three quarters of the channels", methods=("ride",))
    ride_diversity: float = flag(-0.45, "factor of ride's divergence, negative for experts that differ; -0.2 for large "
                                 "sets", low=-100, high=100)
    ride_tempering: float = flag(0.05, "how far ride's temperatures follow the prior; 0.02 for ImageNet-LT, 0.015 for "
                                 "iNaturalist", low=0, high=1)
    ride_router: bool = flag(False, "second stage of ride: a router decides how many experts an image needs",
                             methods=("ride",))
    router_epochs: int = flag(5, "length of the router's stage", low=1, methods=("ride",))
    router_top: int = flag(30, "largest logits that the router looks at; 50 for large networks", low=1,
                           methods=("ride",))
    router_pos_weight: float = flag(100.0, "weight of images that the next expert helps", above=0)
    distill_from: str = flag(None, "run folder whose network ride also learns from", kind=str, methods=("ride",))
    distill_temperature: float = flag(1.5, "temperature of --distill_from", above=0)
