//! Process groups across a parent and its runners, and names, which stay where they are.

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call, pg, registry};
use flame_actors::{Message, placeable, remote};
use flame_tests::{Runners, process, trials, until};
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_task_broadcasts_to_a_group_whose_members_live_in_the_parent,
        an_actor_on_a_runner_is_a_member_until_its_runner_is_killed,
        an_actor_on_a_runner_leaves_the_group_when_it_ends,
        a_ref_that_joins_a_group_stands_for_its_actor_on_other_nodes_too,
        names_and_groups_of_the_parent_survive_the_end_of_a_runner,
        names_survive_the_end_of_a_namesake_on_either_side,
    ]
}

#[derive(Message)]
#[message(cluster)]
enum ClubMsg {
    Note(u64),
    Noted(RpcReplyPort<Vec<u64>>),
    Pid(RpcReplyPort<u32>),
}

/// Joins the group of its argument.
struct Member;

#[placeable]
impl Actor for Member {
    type Msg = ClubMsg;
    type State = Vec<u64>;
    type Arguments = String;

    async fn pre_start(&self, myself: ActorRef<ClubMsg>, group: String) -> Result<Vec<u64>, ActorProcessingErr> {
        pg::join(group, vec![myself.get_cell()]);
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        _: ActorRef<ClubMsg>,
        message: ClubMsg,
        noted: &mut Vec<u64>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ClubMsg::Note(number) => noted.push(number),
            ClubMsg::Noted(reply) => reply.send(noted.clone())?,
            ClubMsg::Pid(reply) => reply.send(std::process::id())?,
        }
        Ok(())
    }
}

async fn member(name: Option<&str>, group: &str) -> ActorRef<ClubMsg> {
    Actor::spawn(name.map(str::to_owned), Member, group.to_owned()).await.expect("it starts").0
}

fn members(group: &str) -> Vec<ActorRef<ClubMsg>> {
    pg::get_members(&group.to_owned()).into_iter().map(ActorRef::from).collect()
}

/// Tells this many members, and asks them who they are.
#[remote]
async fn broadcast(group: String, count: usize, numbers: u64) -> Result<Vec<u32>, String> {
    until("the group spans the nodes", || members(&group).len() == count).await;
    for number in 0..numbers {
        for member in members(&group) {
            member.cast(ClubMsg::Note(number)).map_err(|err| err.to_string())?;
        }
    }
    let mut pids = Vec::new();
    for member in members(&group) {
        pids.push(call!(member, ClubMsg::Pid).map_err(|err| err.to_string())?);
    }
    Ok(pids)
}

async fn a_task_broadcasts_to_a_group_whose_members_live_in_the_parent() {
    let group = "broadcast";
    let (one, two) = (member(None, group).await, member(None, group).await);
    let pool = Runners::Processes.start().await;
    let pids = pool.call(broadcast(group.to_owned(), 2, 100)).await.unwrap().unwrap();
    assert_eq!(pids, [std::process::id(); 2]);
    for member in [one, two] {
        assert!(call!(member, ClubMsg::Noted).unwrap().into_iter().eq(0..100));
        member.stop_and_wait(None, None).await.unwrap();
    }
    pool.shutdown().await;
}

async fn an_actor_on_a_runner_is_a_member_until_its_runner_is_killed() {
    let group = "killed";
    let ours = member(None, group).await;
    let pool = Runners::Processes.start().await;
    let child = pool.place_child(Member, group.to_owned()).await.unwrap();
    until("both are members", || members(group).len() == 2).await;
    let theirs = members(group).into_iter().find(|member| member.get_id() != ours.get_id()).unwrap();
    theirs.cast(ClubMsg::Note(5)).unwrap();
    assert_eq!(call!(theirs, ClubMsg::Noted).unwrap(), [5]);
    let there = call!(child, ClubMsg::Pid).unwrap();
    assert_eq!(call!(theirs, ClubMsg::Pid).unwrap(), there);
    process::kill(there);
    until("the lost one has left", || members(group).len() == 1).await;
    assert_eq!(members(group)[0].get_id(), ours.get_id());
    // A call to the raw ref ends too.
    assert!(flame_tests::eventually("a call to the lost one", async { call!(theirs, ClubMsg::Pid) }).await.is_err());
    ours.stop_and_wait(None, None).await.unwrap();
    pool.shutdown().await;
}

async fn an_actor_on_a_runner_leaves_the_group_when_it_ends() {
    let group = "ended";
    let pool = Runners::Processes.start().await;
    let child = pool.place_child(Member, group.to_owned()).await.unwrap();
    let sibling = pool.place_child(Member, group.to_owned()).await.unwrap();
    until("both are members", || members(group).len() == 2).await;
    child.stop_and_wait(None, None).await.unwrap();
    until("one has left", || members(group).len() == 1).await;
    assert!(call!(sibling, ClubMsg::Pid).is_ok(), "the link lives");
    sibling.stop_and_wait(None, None).await.unwrap();
    pool.shutdown().await;
}

#[remote]
async fn raise(group: String) -> ActorRef<ClubMsg> {
    member(None, &group).await
}

async fn a_ref_that_joins_a_group_stands_for_its_actor_on_other_nodes_too() {
    let (pool, other) = (Runners::Processes.start().await, Runners::Processes.start().await);
    // A guardian, and a proxy. Of the actors themselves the other runner knows nothing.
    let placed = pool.place_child(Member, "private".to_owned()).await.unwrap();
    let plain = pool.call(raise("private".to_owned())).await.unwrap();
    for (group, actor) in [("guardians", placed), ("proxies", plain)] {
        let there = call!(actor, ClubMsg::Pid).unwrap();
        assert_ne!(there, std::process::id());
        pg::join(group.to_owned(), vec![actor.get_cell()]);
        assert_eq!(other.call(broadcast(group.to_owned(), 1, 100)).await.unwrap().unwrap(), [there]);
        let noted = call!(actor, ClubMsg::Noted).unwrap();
        assert!(noted.iter().copied().eq(0..100), "{noted:?}");
        actor.stop_and_wait(None, None).await.unwrap();
        until("it has left", || members(group).is_empty()).await;
    }
    pool.shutdown().await;
    other.shutdown().await;
}

/// Actors of the same names and in the same group as the parent's.
#[remote]
async fn raise_namesake(name: String, group: String) -> (u32, usize) {
    let (actor, _) = Actor::spawn(Some(name.clone()), Member, group.clone()).await.expect("the name is free here");
    until("the group spans the nodes", || members(&group).len() >= 2).await;
    let found = registry::where_is(name).expect("it is there");
    assert_eq!(found.get_id(), actor.get_id());
    (std::process::id(), members(&group).len())
}

async fn names_and_groups_of_the_parent_survive_the_end_of_a_runner() {
    let (name, group) = ("the one and only", "namesakes");
    let ours = member(Some(name), group).await;
    let is_ours = || registry::where_is(name).is_some_and(|found| found.get_id() == ours.get_id());
    for is_killed in [true, false] {
        let pool = Runners::Processes.start().await;
        let (there, count) = pool.call(raise_namesake(name.to_owned(), group.to_owned())).await.unwrap();
        assert_eq!(count, 2);
        until("its namesake is a member here", || members(group).len() == 2).await;
        assert!(is_ours());
        if is_killed {
            process::kill(there);
        } else {
            pool.shutdown().await;
        }
        until("its namesake has left", || members(group).len() == 1).await;
        assert!(is_ours(), "the name went with the runner");
        assert_eq!(members(group)[0].get_id(), ours.get_id());
        assert!(call!(ours, ClubMsg::Pid).is_ok());
        pool.shutdown().await;
    }
    ours.stop_and_wait(None, None).await.unwrap();
}

/// Whether the actor of this name is the one here, which outlives its namesake on the other node.
#[remote]
async fn keeps_its_name(name: String, group: String) -> bool {
    until("the namesake has left", || members(&group).len() == 1).await;
    registry::where_is(name).is_some_and(|found| found.get_id() == members(&group)[0].get_id())
}

#[remote]
async fn end_namesake(name: String) {
    let actor = registry::where_is(name).expect("it is there");
    actor.stop_and_wait(None, None).await.expect("it ends");
}

async fn names_survive_the_end_of_a_namesake_on_either_side() {
    let pool = Runners::Processes.start().await;
    for ends_here in [true, false] {
        let (name, group) = (format!("a namesake that ends {ends_here}"), format!("either side {ends_here}"));
        let ours = member(Some(&name), &group).await;
        pool.call(raise_namesake(name.clone(), group.clone())).await.unwrap();
        until("its namesake is a member here", || members(&group).len() == 2).await;
        if ends_here {
            ours.stop_and_wait(None, None).await.unwrap();
            assert!(pool.call(keeps_its_name(name.clone(), group)).await.unwrap(), "it lost its name");
            pool.call(end_namesake(name)).await.unwrap();
        } else {
            pool.call(end_namesake(name.clone())).await.unwrap();
            assert!(keeps_its_name(name, group).await, "it lost its name");
            ours.stop_and_wait(None, None).await.unwrap();
        }
    }
    pool.shutdown().await;
}
