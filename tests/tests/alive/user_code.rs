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
