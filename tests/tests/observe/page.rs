//! book/src/observing.md lists what there is, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use flame_actors::task;
use flame_tests::{Runners, trials, until};
use libtest_mimic::Trial;

use crate::collector::all_spans;
use crate::numbers::Idler;
use crate::recorder::{Described, numbers};

const PAGE: &str = include_str!("../../../book/src/observing.md");

pub(crate) fn trials() -> Vec<Trial> {
    trials![the_page_has_every_metric, the_page_has_every_span, the_page_shows_a_status_as_it_is]
}

/// The cells of those rows that open with a code of this beginning.
fn rows(beginning: &str) -> impl Iterator<Item = (String, Vec<&'static str>)> {
    let beginning = format!("| `{beginning}");
    PAGE.lines().filter(move |line| line.starts_with(&beginning)).map(|line| {
        let mut cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        (cells.remove(0).trim_matches('`').to_owned(), cells)
    })
}

/// What is set as code.
fn codes(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

async fn the_page_has_every_metric() {
    let pool = Runners::InProcess.start().await;
    pool.shutdown().await;
    let mut of_pools = numbers().described();
    for (name, described) in &mut of_pools {
        assert!(described.labels.remove("pool").is_some(), "{name} does not say of which pool it is");
    }
    let listed = rows("flame_").map(|(name, cells)| {
        let [kind, unit, labels, _when] = &cells[..] else { panic!("{name}: {cells:?}") };
        let unit = Some((*unit).to_owned()).filter(|unit| unit != "–");
        let mut values = codes(labels);
        let labels = values.next().map(|label| (label, values.collect::<BTreeSet<_>>()));
        (name, Described { kind: (*kind).to_owned(), unit, labels: labels.into_iter().collect() })
    });
    assert_eq!(of_pools, listed.collect());
}

async fn the_page_has_every_span() {
    // Whatever other trials make is compared, too.
    let pool = Runners::InProcess.start().await;
    pool.call(task!([] {})).await.unwrap();
    pool.place_child(Idler, ()).await.unwrap().stop(None);
    pool.shutdown().await;
    let listed: BTreeMap<_, _> = rows("flame.")
        .map(|(name, cells)| (name, (cells[0].to_uppercase(), codes(cells[1]).collect::<Vec<_>>())))
        .collect();
    let made = || {
        let ours = all_spans().into_iter().filter(|span| span.target.starts_with("flame_actors"));
        ours.map(|span| (span.name, (span.level, span.fields))).collect::<BTreeMap<_, _>>()
    };
    until("a span of each name", || made().len() >= listed.len()).await;
    assert_eq!(made(), listed);
    assert!(all_spans().iter().all(|span| !span.name.starts_with("flame.") || span.target == "flame_actors"));
}

async fn the_page_shows_a_status_as_it_is() {
    let pool = Runners::InProcess.pool().min(1).start(&flame_tests::node()).await.unwrap();
    until("its runner is up", || pool.status().runners.len() == 1).await;
    let is = serde_json::to_value(pool.status()).unwrap();
    pool.shutdown().await;
    let texts = PAGE.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut all = texts.map(|text| serde_json::from_str::<serde_json::Value>(text).expect("what it shows is JSON"));
    let shown = all.find(|shown| shown.get("runners").is_some()).expect("the page shows one");
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&shown), keys(&is));
    assert_eq!(keys(&shown["runners"][0]), keys(&is["runners"][0]));
    // It is one, and could have come from a pool.
    serde_json::from_value::<flame_actors::PoolStatus>(shown).unwrap();
}
