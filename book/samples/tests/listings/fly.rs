//! fly.md, against the simulator.

use std::time::Duration;

use flame_actors::{Error, Event, Node, Pool, task};
use flame_book::{Page, read, root};
use flame_fly::{FlyBackend, Size};
use flame_fly_sim::{Action, Fault, Output, Simulator};
use flame_tests::{eventually, node, trials, until};
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        all_that_is_shown_can_be_set,
        a_pool_boots_machines_of_the_simulator,
        a_machine_that_does_not_come_up_is_told_of_as_printed,
    ]
}

// ANCHOR: pool
async fn start(node: &Node) -> Result<Pool, flame_actors::Error> {
    let backend = FlyBackend::from_env()
        .cpu_kind("shared")
        .cpus(2)
        .memory_mb(1024)
        .inherit_env(["RUST_LOG"])
        .fallback_regions(["ams", "cdg"]) // where the parent's own region has no room
        .fallback_sizes([Size::new("performance", 1, 2048)]);
    Pool::builder("ffmpeg").max(10).boot_timeout(Duration::from_secs(60)).backend(backend).start(node).await
}
// ANCHOR_END: pool

async fn all_that_is_shown_can_be_set() {
    let pool = start(&node()).await.unwrap(); // nothing is asked for before a runner boots
    let err = pool.call(task!([] {})).await.unwrap_err().to_string();
    assert!(err.contains("token (FLY_API_TOKEN) is not set"), "{err}");
    pool.shutdown().await;
}

async fn a_pool_boots_machines_of_the_simulator() -> anyhow::Result<()> {
    // ANCHOR: simulator
    let simulator = Simulator::builder().any_image("/proc/self/exe").output(Output::Quiet).start().await?;
    simulator.fault(Fault::status(503).on(Action::Create).times(1)); // the first request fails

    let backend = FlyBackend::new()
        .host(simulator.url())
        .app("sim")
        .token("sim-token")
        .image("registry.fly.io/sim:1")
        .region("fra")
        .cpus(2)
        .private_ip(simulator.parent_ip().to_string())
        .same_command();
    let pool = Pool::builder("on-fly").backend(backend).start(&node()).await?;
    assert_eq!(pool.call(task!([] -> u32 { 1 + 2 })).await?, 3); // on a machine, all the same
    // ANCHOR_END: simulator
    pool.shutdown().await;
    assert!(simulator.violations().is_empty(), "{:?}", simulator.violations());
    simulator.stop().await;
    Ok(())
}

async fn a_machine_that_does_not_come_up_is_told_of_as_printed() -> anyhow::Result<()> {
    let builder = Simulator::builder().apps(["thumbs"]).regions(["fra"]).any_image("/proc/self/exe");
    let simulator = builder.output(Output::Quiet).start().await?;
    simulator.fault(Fault::never_connect());
    let backend = FlyBackend::new().host(simulator.url()).app("thumbs").token("sim-token").image("any").region("fra");
    let backend = backend.cpus(2).private_ip(simulator.parent_ip().to_string()).same_command();
    let pool = Pool::builder("ffmpeg").min(1).backend(backend).start(&node()).await?;
    let mut events = pool.events();
    let is_killed = || simulator.machines().first().is_some_and(|machine| simulator.kill_for_memory(&machine.id));
    until("the machine is killed", is_killed).await;
    let reason = loop {
        if let Some(Event::BootFailed { error, .. }) = eventually("a boot fails", events.next()).await {
            break error.to_string();
        }
    };
    let told = Error::Boot { pool: "ffmpeg".to_owned(), attempts: 1, reason }.to_string();

    // Numbers and names of machines are others each time.
    let machine = &simulator.machines()[0];
    let told = told.replace(&machine.id, "148e272b").replace(&machine.name, "flame-ffmpeg-01kb…");
    let readme = read(&root().join("flame-fly/README.md"));
    for text in [Page::open("fly.md").text, readme] {
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(&told), "it is not printed as it is: {told}");
    }
    pool.shutdown().await;
    simulator.stop().await;
    Ok(())
}
