//! Code of the application that blocks or panics where the core meets it: its victims may fail, bystanders do not.

use flame_tests::trials;
use libtest_mimic::Trial;

use crate::harm::{Case, Harm, certain, harms_no_bystander, possible};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_decoder_that_blocks_harms_no_bystander,
        a_decoder_that_panics_harms_no_bystander,
        an_encoder_that_blocks_harms_no_bystander,
        an_encoder_that_panics_harms_no_bystander,
        a_value_whose_drop_blocks_harms_no_bystander,
        a_value_whose_drop_panics_harms_no_bystander,
        an_option_that_blocks_harms_no_bystander,
        an_option_that_panics_harms_no_bystander,
        a_backend_that_blocks_harms_no_bystander,
        a_backend_that_panics_harms_no_bystander,
        a_tracing_layer_that_blocks_harms_no_bystander,
        a_tracing_layer_that_panics_harms_no_bystander,
    ]
}

const DECODERS: [Case; 8] = [
    certain("decoding a message there"),
    certain("decoding a message here"),
    certain("decoding a reply there"),
    certain("decoding a reply here"),
    possible("decoding a late reply there"),
    possible("decoding a late reply here"),
    possible("decoding a message to the dead there"),
    possible("decoding a message to the dead here"),
];

const ENCODERS: [Case; 6] = [
    certain("encoding a message there"),
    certain("encoding a message here"),
    certain("encoding a reply there"),
    certain("encoding a reply here"),
    possible("encoding a late reply there"),
    possible("encoding a late reply here"),
];

const DROPS: [Case; 4] = [
    possible("dropping a late reply there"),
    possible("dropping a late reply here"),
    possible("dropping a message to the dead there"),
    possible("dropping a message to the dead here"),
];

/// Of a pool.
const OPTIONS: [Case; 7] = [
    certain("on_grow_start"),
    certain("on_grow_end"),
    certain("on_shrink"),
    certain("placement"),
    certain("making an idle check"),
    certain("encoding an idle check"),
    certain("decoding an idle check"),
];

/// Before it returns its future, or when that is polled.
const BACKENDS: [Case; 10] = [
    certain("boot"),
    certain("boot, awaited"),
    certain("inspect"),
    certain("inspect, awaited"),
    certain("destroy"),
    certain("destroy, awaited"),
    certain("diagnose"),
    certain("diagnose, awaited"),
    certain("list"),
    certain("list, awaited"),
];

const LAYERS: [Case; 8] = [
    certain("on_event here"),
    certain("on_new_span here"),
    certain("on_enter here"),
    certain("on_close here"),
    certain("on_event there"),
    certain("on_new_span there"),
    certain("on_enter there"),
    certain("on_close there"),
];

async fn a_decoder_that_blocks_harms_no_bystander() {
    harms_no_bystander("messages", Harm::Blocks, &DECODERS).await;
}

async fn a_decoder_that_panics_harms_no_bystander() {
    harms_no_bystander("messages", Harm::Panics, &DECODERS).await;
}

async fn an_encoder_that_blocks_harms_no_bystander() {
    harms_no_bystander("messages", Harm::Blocks, &ENCODERS).await;
}

async fn an_encoder_that_panics_harms_no_bystander() {
    harms_no_bystander("messages", Harm::Panics, &ENCODERS).await;
}

async fn a_value_whose_drop_blocks_harms_no_bystander() {
    harms_no_bystander("messages", Harm::Blocks, &DROPS).await;
}

async fn a_value_whose_drop_panics_harms_no_bystander() {
    harms_no_bystander("messages", Harm::Panics, &DROPS).await;
}

async fn an_option_that_blocks_harms_no_bystander() {
    harms_no_bystander("pools", Harm::Blocks, &OPTIONS).await;
}

async fn an_option_that_panics_harms_no_bystander() {
    harms_no_bystander("pools", Harm::Panics, &OPTIONS).await;
}

async fn a_backend_that_blocks_harms_no_bystander() {
    harms_no_bystander("pools", Harm::Blocks, &BACKENDS).await;
}

async fn a_backend_that_panics_harms_no_bystander() {
    harms_no_bystander("pools", Harm::Panics, &BACKENDS).await;
}

async fn a_tracing_layer_that_blocks_harms_no_bystander() {
    harms_no_bystander("layered", Harm::Blocks, &LAYERS).await;
}

async fn a_tracing_layer_that_panics_harms_no_bystander() {
    harms_no_bystander("layered", Harm::Panics, &LAYERS).await;
}
