//! Children under a `PlacementSupervisor`.

use std::time::Duration;

use flame_actors::ractor::{Actor, ActorRef, call};
use flame_actors::{ChildError, PlacementSupervisor, PlacementSupervisorMsg, Pool, Restart, Strategy};
use flame_tests::{Journal, Runners, eventually, everywhere, process, trials, until};
use libtest_mimic::Trial;

use crate::home::{End, Home, HomeMsg};
use crate::probe::{Args, Probe, ProbeMsg, last_word, pid};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        one_for_one_places_the_one_again_that_ended,
        one_for_all_places_all_again,
        rest_for_one_places_those_again_that_came_after,
        children_that_go_down_together_stop_from_the_last_one_and_start_from_the_first,
        a_temporary_child_ends_with_the_others_and_does_not_come_back,
        the_end_of_a_temporary_child_concerns_nobody_else,
        a_child_that_is_stopped_by_its_ref_does_not_come_back,
        the_intensity_is_one_for_all_children,
        the_end_of_the_supervisor_ends_its_children,
    ];
    trials.extend(trials![all_come_back_on_other_runners_after_the_loss_of_theirs]);
    trials
}

type Supervisor = ActorRef<PlacementSupervisorMsg>;

async fn supervisor(strategy: Strategy, home: &ActorRef<HomeMsg>) -> Supervisor {
    let supervisor = PlacementSupervisor::new(strategy);
    Actor::spawn_linked(None, supervisor, (), home.get_cell()).await.expect("it starts").0
}

/// A child with a journal of its own.
struct Child {
    probe: ActorRef<ProbeMsg>,
    journal: Journal,
}

impl Child {
    async fn place(pool: &Pool, supervisor: &Supervisor, restart: Restart) -> Self {
        let journal = Journal::new();
        let placing = pool.place_child(Probe, Args::well(&journal)).restart(restart).supervised_by(supervisor);
        Self { probe: placing.await.expect("it starts"), journal }
    }

    fn starts(&self) -> usize {
        self.journal.lines().iter().filter(|line| line.starts_with("pre_start")).count()
    }

    async fn started(&self, times: usize) {
        until("it has started again", || self.starts() == times).await;
        eventually("it answers", async { pid(&self.probe).await }).await;
    }

    fn fail(&self) {
        self.probe.cast(ProbeMsg::Fail("on purpose".to_owned())).unwrap();
    }
}

async fn three(pool: &Pool, supervisor: &Supervisor) -> [Child; 3] {
    let restart = Restart::Permanent;
    [
        Child::place(pool, supervisor, restart).await,
        Child::place(pool, supervisor, restart).await,
        Child::place(pool, supervisor, restart).await,
    ]
}

async fn one_for_one_places_the_one_again_that_ended(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let supervisor = supervisor(Strategy::OneForOne, &home).await;
    let [one, two, three] = three(&pool, &supervisor).await;
    two.fail();
    two.started(2).await;
    assert_eq!((one.starts(), three.starts()), (1, 1));
    pool.shutdown().await;
}

async fn one_for_all_places_all_again(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let supervisor = supervisor(Strategy::OneForAll, &home).await;
    let children = three(&pool, &supervisor).await;
    children[2].probe.cast(ProbeMsg::Add(1)).unwrap();
    children[1].fail();
    for child in &children {
        child.started(2).await;
        assert!(child.journal.count("dropped") == 1);
    }
    assert_eq!(call!(children[2].probe, ProbeMsg::Added).unwrap(), Vec::<u64>::new(), "it has started anew");
    pool.shutdown().await;
}

async fn rest_for_one_places_those_again_that_came_after(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let supervisor = supervisor(Strategy::RestForOne, &home).await;
    let [one, two, three] = three(&pool, &supervisor).await;
    two.fail();
    two.started(2).await;
    three.started(2).await;
    assert_eq!(one.starts(), 1);
    pool.shutdown().await;
}

/// They share a journal.
async fn children_that_go_down_together_stop_from_the_last_one_and_start_from_the_first(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let supervisor = supervisor(Strategy::OneForAll, &home).await;
    let journal = Journal::new();
    let mut children = Vec::new();
    for name in ["one", "two", "three"] {
        let arguments = Args { name: Some(name.to_owned()), ..Args::well(&journal) };
        let placing = pool.place_child(Probe, arguments).restart(Restart::Permanent).supervised_by(&supervisor);
        children.push(placing.await.unwrap());
    }
    children[0].cast(ProbeMsg::Fail("on purpose".to_owned())).unwrap();
    let named = || -> Vec<String> {
        let lines = journal.lines();
        let named = lines.iter().filter(|line| line.starts_with("up=") || line.starts_with("down="));
        named.cloned().collect()
    };
    let expected =
        ["up=one", "up=two", "up=three", "down=one", "down=three", "down=two", "up=one", "up=two", "up=three"];
    until("all have come back", || named().len() >= expected.len()).await;
    assert_eq!(named(), expected);
    pool.shutdown().await;
}

async fn a_temporary_child_ends_with_the_others_and_does_not_come_back(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let supervisor = supervisor(Strategy::OneForAll, &home).await;
    let [one, ..] = three(&pool, &supervisor).await;
    let temporary = Child::place(&pool, &supervisor, Restart::Temporary).await;
    one.fail();
    one.started(2).await;
    temporary.journal.wait_for("dropped").await;
    one.fail();
    one.started(3).await;
    assert_eq!(temporary.starts(), 1);
    pool.shutdown().await;
}

async fn the_end_of_a_temporary_child_concerns_nobody_else(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let supervisor = supervisor(Strategy::OneForAll, &home).await;
    let [one, ..] = three(&pool, &supervisor).await;
    let temporary = Child::place(&pool, &supervisor, Restart::Temporary).await;
    last_word(&temporary.probe, ProbeMsg::Fail("on purpose".to_owned()));
    temporary.journal.wait_for("dropped").await;
    one.fail();
    one.started(2).await;
    assert_eq!(one.starts(), 2, "once for its own failure");
    pool.shutdown().await;
}

async fn a_child_that_is_stopped_by_its_ref_does_not_come_back(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let supervisor = supervisor(Strategy::OneForAll, &home).await;
    let [one, two, three] = three(&pool, &supervisor).await;
    eventually("the stop", two.probe.stop_and_wait(None, None)).await.unwrap();
    one.fail();
    one.started(2).await;
    three.started(2).await;
    assert_eq!(two.starts(), 1);
    pool.shutdown().await;
}

async fn the_intensity_is_one_for_all_children(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let period = Duration::from_secs(600);
    let supervisor = PlacementSupervisor::new(Strategy::OneForOne).max_restarts(2, period);
    let (supervisor, _) = Actor::spawn_linked(None, supervisor, (), home.get_cell()).await.unwrap();
    let [one, two, three] = three(&pool, &supervisor).await;
    one.fail();
    one.started(2).await;
    two.fail();
    two.started(2).await;
    three.fail();
    match ends.of(&supervisor).await {
        End::Failed(ChildError::TooManyRestarts { max_restarts: 2, history, .. }) => {
            assert_eq!(history, ["on purpose", "on purpose", "on purpose"]);
        }
        other => panic!("{other:?}"),
    }
    until("nothing of them is left", || pool.status().runners.iter().all(|runner| runner.slots_used == 0)).await;
    pool.shutdown().await;
}

async fn the_end_of_the_supervisor_ends_its_children(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let supervisor = supervisor(Strategy::OneForOne, &home).await;
    let children = three(&pool, &supervisor).await;
    supervisor.kill();
    for child in &children {
        child.journal.wait_for("dropped").await;
    }
    until("their slots are free", || pool.status().runners.iter().all(|runner| runner.slots_used == 0)).await;
    assert!(children.iter().all(|child| child.starts() == 1));
    pool.shutdown().await;
}

async fn all_come_back_on_other_runners_after_the_loss_of_theirs() {
    let pool = Runners::Processes.start().await;
    let (home, _) = Home::start().await;
    // Losses do not count: not one end of their own is allowed.
    let supervisor = PlacementSupervisor::new(Strategy::OneForAll).max_restarts(0, Duration::from_secs(600));
    let (supervisor, _) = Actor::spawn_linked(None, supervisor, (), home.get_cell()).await.unwrap();
    let children = three(&pool, &supervisor).await;
    for round in 1..=5 {
        let lost = pid(&children[0].probe).await;
        process::kill(lost);
        for child in &children {
            until("it has started again", || child.starts() > round).await;
            assert_ne!(eventually("it answers", async { pid(&child.probe).await }).await, lost);
        }
        // Whoever hears first of the loss: each is placed again once.
        assert_eq!(children.each_ref().map(Child::starts), [round + 1; 3]);
    }
    assert_eq!(pool.status().runners.iter().map(|runner| runner.slots_used).sum::<usize>(), 3);
    pool.shutdown().await;
}
