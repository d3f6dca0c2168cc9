//! Runners that are parents.

use flame_actors::{Node, Pool, task};
use flame_fly::FlyBackend;
use flame_tests::{node, trials};
use libtest_mimic::Trial;

use crate::sim::{Sim, TOKEN};

pub(crate) fn trials() -> Vec<Trial> {
    trials![a_runner_boots_machines_of_its_own]
}

/// It listens at its own address, and has all else from its environment.
async fn a_runner_boots_machines_of_its_own() {
    let sim = Sim::start().await;
    let backend = sim.backend().env("FLY_API_HOSTNAME", sim.internal_url()).env("FLY_API_TOKEN", TOKEN);
    let pool = sim.pool(backend).start(&node()).await.unwrap();
    let nested = task!([] -> (String, String, String) {
        let runner = Node::current().expect("a runner is a node");
        let pool = Pool::builder("below").backend(FlyBackend::from_env().cpus(1)).start(&runner).await.expect("it starts");
        let there = task!([] -> (String, String) {
            let runner = Node::current().expect("a runner is a node");
            let parent = runner.parent().expect("it was booted").address().to_owned();
            (runner.name().to_owned(), parent)
        });
        let (name, parent) = pool.call(there).await.expect("it boots a machine");
        pool.shutdown().await;
        (name, parent, std::env::var("FLY_PRIVATE_IP").expect("Fly sets it"))
    });
    let (name, parent, ip) = pool.call(nested).await.unwrap();
    assert!(name.contains(".below-"), "{name}");
    assert!(parent.starts_with(&format!("[{ip}]:")), "{parent} is not at {ip}");
    assert_eq!(sim.machines().len(), 2);
    pool.shutdown().await;
    sim.end().await;
}
