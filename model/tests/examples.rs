//! The examples run, each with its own test on a tiny checkpoint.
#![allow(dead_code)]

#[path = "../examples/ablate_a_head.rs"]
mod ablate_a_head;
#[path = "../examples/logit_lens.rs"]
mod logit_lens;
#[path = "../examples/patch_activation.rs"]
mod patch_activation;
#[path = "../examples/print_attention.rs"]
mod print_attention;
#[path = "../examples/steer.rs"]
mod steer;
