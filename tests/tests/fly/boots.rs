//! From a request to a runner that serves, or to an error that says why not.

use std::time::Duration;

use flame_actors::{Error, Event, task};
use flame_fly_sim::{Action, Fault};
use flame_tests::{eventually, node, trials, until};
use libtest_mimic::Trial;
use serde_json::json;

use crate::sim::Sim;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_runner_has_what_it_was_given_and_nothing_else,
        all_that_can_be_set_is_as_the_api_wants_it,
        a_machine_that_dies_at_boot_is_told_with_its_exit_and_another_one_is_booted,
        a_machine_that_never_connects_is_described_and_destroyed,
        a_machine_whose_answer_was_lost_is_used,
        a_machine_that_boots_slowly_is_waited_for,
        an_api_that_is_down_for_a_while_is_waited_for,
        seven_runners_at_once_meet_no_limit,
        without_room_the_runner_is_in_another_region,
        a_wrong_token_is_told_at_once,
    ]
}

async fn a_runner_has_what_it_was_given_and_nothing_else() {
    let sim = Sim::start().await;
    let backend = sim.backend().env("MODE", "fast").inherit_env(["CARGO_MANIFEST_DIR", "NOT_SET_ANYWHERE"]);
    let pool = sim.pool(backend).start(&node()).await.unwrap();
    let there = pool.call(task!([] -> Vec<(String, String)> { std::env::vars().collect() })).await.unwrap();
    let value = |name: &str| there.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!((value("MODE"), value("FLY_REGION")), (Some("fast"), Some("fra")));
    assert_eq!(value("CARGO_MANIFEST_DIR"), std::env::var("CARGO_MANIFEST_DIR").ok().as_deref());
    let ours = ["MODE", "CARGO_MANIFEST_DIR", "PATH", "FLAME_PARENT"];
    let others = there.iter().filter(|(name, _)| !name.starts_with("FLY_") && !ours.contains(&name.as_str()));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&(String, String)>::new());
    pool.shutdown().await;
    sim.end().await;
}

async fn all_that_can_be_set_is_as_the_api_wants_it() {
    let sim = Sim::start().await;
    let backend = sim
        .backend()
        .same_command()
        .metadata("team", "video")
        .services(
            json!([{ "internal_port": 8080, "protocol": "tcp", "ports": [{ "port": 80, "handlers": ["http"] }] }]),
        )
        .mounts(json!([{ "volume": "vol_1", "path": "/data" }]))
        .stop_config(json!({ "signal": "SIGTERM", "timeout": "10s" }))
        .cpus(8)
        .memory_mb(32_768)
        .gpu_kind("a10");
    let pool = sim.pool(backend).start(&node()).await.unwrap();
    pool.call(task!([] {})).await.unwrap();
    let config = sim.machines()[0].shown["config"].clone();
    assert_eq!((&config["guest"]["gpu_kind"], &config["guest"]["gpus"]), (&json!("a10"), &json!(1)));
    assert_eq!((&config["stop_config"]["signal"], &config["metadata"]["team"]), (&json!("SIGTERM"), &json!("video")));
    pool.shutdown().await;
    sim.end().await;
}

async fn a_machine_that_dies_at_boot_is_told_with_its_exit_and_another_one_is_booted() {
    let sim = Sim::start().await;
    sim.fault(Fault::die_at_boot(3).times(1));
    let pool = sim.started().await;
    let mut events = pool.events();
    pool.call(task!([] {})).await.unwrap();
    let error = loop {
        if let Event::BootFailed { error, .. } = eventually("a failed boot", events.next()).await.expect("it is told") {
            break error.to_string();
        }
    };
    assert!(error.contains("the instance ended before it joined: its process exited with code 3"), "{error}");
    assert!(error.contains("its events: launch created, start started, exit stopped"), "{error}");
    assert_eq!(sim.machines().len(), 2);
    pool.shutdown().await;
    sim.end().await;
}

async fn a_machine_that_never_connects_is_described_and_destroyed() {
    let sim = Sim::start().await;
    sim.fault(Fault::never_connect());
    let pool = sim.pool(sim.backend()).boot_timeout(Duration::from_secs(3)).start(&node()).await.unwrap();
    let err = pool.call(task!([] {})).timeout(Duration::from_secs(8)).await.unwrap_err().to_string();
    let first = sim.machines().remove(0);
    let described =
        format!("machine {} ({}) in fra is started; its events: launch created, start started", first.id, first.name);
    assert!(err.contains("the runner did not join within 3s; machine "), "{err}");
    pool.shutdown().await;
    // The last boot is told, and the first one had its words too.
    assert!(err.contains(&described) || sim.machines().len() > 1, "{err}");
    assert!(
        err.contains("is started; its events: launch created, start started; what it wrote: fly logs -a sim"),
        "{err}"
    );
    sim.end().await;
}

async fn a_machine_whose_answer_was_lost_is_used() {
    let sim = Sim::start().await;
    sim.fault(Fault::lose_answer().times(1));
    let pool = sim.started().await;
    assert_eq!(pool.call(task!([] -> u32 { 6 * 7 })).await.unwrap(), 42);
    assert_eq!(sim.machines().len(), 1);
    pool.shutdown().await;
    sim.end().await;
}

async fn a_machine_that_boots_slowly_is_waited_for() {
    let sim = Sim::start().await;
    sim.fault(Fault::slow_boot(Duration::from_secs(3)));
    let pool = sim.started().await;
    pool.call(task!([] {})).await.unwrap();
    assert_eq!((sim.machines().len(), pool.status().failed_boots), (1, 0));
    pool.shutdown().await;
    sim.end().await;
}

async fn an_api_that_is_down_for_a_while_is_waited_for() {
    let sim = Sim::start().await;
    sim.fault(Fault::rate_limit(Duration::from_secs(1)).on(Action::Create).times(1));
    sim.fault(Fault::status(503).on(Action::Create).times(2));
    sim.fault(Fault::drop_connection().on(Action::Create).times(1));
    sim.fault(Fault::status(500).on(Action::Get).times(2));
    let pool = sim.started().await;
    pool.call(task!([] {})).await.unwrap();
    assert_eq!((sim.machines().len(), pool.status().failed_boots), (1, 0));
    // One that has to be destroyed is, too.
    sim.fault(Fault::status(500).on(Action::Delete).times(2));
    pool.shutdown().await;
    sim.end().await;
}

async fn seven_runners_at_once_meet_no_limit() {
    let sim = Sim::start().await;
    let pool = sim.pool(sim.backend()).min(7).max(7).start(&node()).await.unwrap();
    until("seven runners are up", || pool.status().runners.len() == 7).await;
    pool.shutdown().await;
    let refused: Vec<_> = sim.requests().into_iter().filter(|request| request.status == Some(429)).collect();
    assert!(refused.is_empty(), "{refused:?}");
    let mut at: Vec<u64> =
        sim.requests().iter().filter(|seen| seen.action == Some(Action::Create)).map(|seen| seen.at_ms).collect();
    at.sort_unstable();
    assert_eq!(at.len(), 7);
    // Three at once, then one a second, with a little for how late each of them is heard.
    assert!(at[6] - at[0] >= 3_900, "{at:?}");
    sim.end().await;
}

async fn without_room_the_runner_is_in_another_region() {
    let sim = Sim::start().await;
    sim.fault(Fault::no_capacity().region("fra"));
    let pool = sim.pool(sim.backend().fallback_regions(["ams", "lhr"])).start(&node()).await.unwrap();
    let mut events = pool.events();
    let region = pool.call(task!([] -> String { std::env::var("FLY_REGION").unwrap_or_default() })).await.unwrap();
    assert_eq!(region, "ams");
    let told = loop {
        if let Event::FellBack { from, to, .. } = eventually("a step", events.next()).await.expect("it is told") {
            break (from, to);
        }
    };
    let size = "performance-2x with 4096 MiB in";
    assert_eq!(told, (format!("{size} fra"), format!("{size} ams")));
    pool.shutdown().await;
    sim.end().await;
}

async fn a_wrong_token_is_told_at_once() {
    let sim = Sim::start().await;
    let pool = sim.pool(sim.backend().token("another")).start(&node()).await.unwrap();
    let err = pool.call(task!([] {})).await.unwrap_err();
    assert!(matches!(&err, Error::Config { reason, .. } if reason.contains("answers 401")), "{err}");
    pool.shutdown().await;
    sim.end().await;
}
