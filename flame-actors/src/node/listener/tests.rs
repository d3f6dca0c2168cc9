//! Who is refused, and why; tests/tests/identity has the same over real processes.

use std::time::SystemTime;

use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;

use super::*;
use crate::node::tls::Identity;

const NODE: &str = "web.a";
const MINUTE: Duration = Duration::from_secs(60);

async fn listener() -> Arc<Listener> {
    let session = Session::start("web", None).await.unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    Listener::start(address, None, Build::of_this_process("build"), MINUTE, session).await.unwrap()
}

fn invited(listener: &Arc<Listener>, node: &str) -> (Invitation, Expectation) {
    listener.invite(&"web".into(), &node.into(), "pool", MINUTE, None).unwrap()
}

fn hello(node: &str, token: &Secret, purpose: Purpose) -> Hello {
    let build = Build::of_this_process("build");
    Hello { protocol: PROTOCOL, purpose, token: token.clone(), node: node.into(), build, process: 1 }
}

/// What becomes of a client of this identity that says this.
async fn outcome(listener: &Arc<Listener>, identity: &Identity, hello: &Hello) -> Result<(), Refusal> {
    let (near, far) = pair().await;
    let connector = identity.connector(&hello.token).unwrap();
    let client = async {
        let mut stream = connector.connect(tls::parent_name(), far).await?;
        // It may have been refused by now.
        let _ = join::say(&mut stream, hello).await;
        let _ = join::hear::<Result<Welcome, Error>, _>(&mut stream).await;
        std::io::Result::Ok(())
    };
    let server = async {
        let start = LazyConfigAcceptor::new(Acceptor::default(), near).await.unwrap();
        Arc::clone(listener).shake_hands(start).await
    };
    tokio::join!(server, client).0
}

async fn pair() -> (TcpStream, TcpStream) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = TcpStream::connect(socket.local_addr().unwrap());
    let (near, far) = tokio::join!(socket.accept(), far);
    (near.unwrap().0, far.unwrap())
}

async fn reason(listener: &Arc<Listener>, identity: &Identity, hello: &Hello) -> &'static str {
    outcome(listener, identity, hello).await.expect_err("it is to be refused").reason()
}

#[tokio::test]
async fn an_invited_runner_is_welcome_once() {
    let listener = listener().await;
    let (invitation, mut expectation) = invited(&listener, NODE);
    let hello = hello(NODE, &invitation.token, Purpose::Link);
    outcome(&listener, &invitation.identity, &hello).await.unwrap();
    expectation.joined().await.unwrap();
    // Its session is awaited still, so the certificate is good, and the token is not.
    assert_eq!(reason(&listener, &invitation.identity, &hello).await, "token");
}

#[tokio::test]
async fn what_an_invitation_holds_is_worth_nothing_once_its_runner_is_complete() {
    let listener = listener().await;
    let (invitation, mut expectation) = invited(&listener, NODE);
    outcome(&listener, &invitation.identity, &hello(NODE, &invitation.token, Purpose::Link)).await.unwrap();
    expectation.joined().await.unwrap();
    let session = listener.expected.lock().keys().next().cloned().expect("the session's token");
    outcome(&listener, &invitation.identity, &hello(NODE, &session, Purpose::Session)).await.unwrap();
    for (token, purpose) in
        [(&invitation.token, Purpose::Link), (&invitation.token, Purpose::Session), (&session, Purpose::Session)]
    {
        let hello = hello(NODE, token, purpose);
        assert_eq!(reason(&listener, &invitation.identity, &hello).await, "not-awaited");
    }
}

#[tokio::test]
async fn a_certificate_is_good_between_its_dates_only() {
    let listener = listener().await;
    let (invitation, _expectation) = invited(&listener, NODE);
    let hello = hello(NODE, &invitation.token, Purpose::Link);
    let now = SystemTime::now();
    // Of the right authority, for the right runner, with the right token.
    let expired = listener.authority.identity_for(NODE, now - 2 * MINUTE..now - MINUTE).unwrap();
    assert_eq!(reason(&listener, &expired, &hello).await, "expired");
    let early = listener.authority.identity_for(NODE, now + MINUTE..now + 2 * MINUTE).unwrap();
    assert_eq!(reason(&listener, &early, &hello).await, "not-yet-valid");
    outcome(&listener, &invitation.identity, &hello).await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_parent_is_foreign() {
    let (listener, other) = (listener().await, Authority::mint().unwrap());
    let (invitation, _expectation) = invited(&listener, NODE);
    let hello = hello(NODE, &invitation.token, Purpose::Link);
    // Its authority has the same name, as those of all parents have.
    let foreign = listener.authority.forged(&other.identity(NODE).unwrap());
    assert_eq!(reason(&listener, &foreign, &hello).await, "foreign-authority");
}

#[tokio::test]
async fn a_certificate_of_the_same_name_is_not_the_same() {
    let listener = listener().await;
    let (invitation, mut expectation) = invited(&listener, NODE);
    let again = listener.authority.identity(NODE).unwrap();
    let hello = hello(NODE, &invitation.token, Purpose::Link);
    assert_eq!(reason(&listener, &again, &hello).await, "not-awaited");
    outcome(&listener, &invitation.identity, &hello).await.unwrap();
    expectation.joined().await.unwrap();
}

#[tokio::test]
async fn a_runner_can_neither_use_anothers_token_nor_anothers_name() {
    let listener = listener().await;
    let (thief, _thief) = invited(&listener, "web.thief");
    let (victim, mut expectation) = invited(&listener, NODE);
    let name = hello(NODE, &thief.token, Purpose::Link);
    assert_eq!(reason(&listener, &thief.identity, &name).await, "name");
    let (thief, _thief) = invited(&listener, "web.thief");
    let token = hello(NODE, &victim.token, Purpose::Link);
    let refusal = outcome(&listener, &thief.identity, &token).await.unwrap_err();
    assert_eq!(refusal.reason(), "another-runner");
    assert!(refusal.to_string().contains("web.thief") && refusal.to_string().contains(NODE), "{refusal}");
    // The boot that it was for fails at once, and says why.
    let err = expectation.joined().await.err().expect("the token is void");
    assert!(err.to_string().contains("web.thief"), "{err}");
}

#[tokio::test]
async fn a_token_is_good_for_one_purpose() {
    let listener = listener().await;
    let (invitation, _expectation) = invited(&listener, NODE);
    let hello = hello(NODE, &invitation.token, Purpose::Session);
    assert_eq!(reason(&listener, &invitation.identity, &hello).await, "purpose");
}

#[tokio::test]
async fn a_session_is_awaited_for_a_while_only() {
    let listener = listener().await;
    let (invitation, _expectation) = invited(&listener, NODE);
    let token = Secret(tls::token());
    let mut session = Expected::new(&NODE.into(), invitation.identity.certificate(), &token, Wanted::Session);
    session.since -= SESSION_DEADLINE + Duration::from_secs(1);
    listener.expected.lock().insert(token.clone(), session);
    let hello = hello(NODE, &token, Purpose::Session);
    assert_eq!(reason(&listener, &invitation.identity, &hello).await, "token");
}

#[tokio::test]
async fn a_boot_that_is_given_up_voids_its_token() {
    let listener = listener().await;
    let (invitation, expectation) = invited(&listener, NODE);
    drop(expectation);
    let hello = hello(NODE, &invitation.token, Purpose::Link);
    assert_eq!(reason(&listener, &invitation.identity, &hello).await, "not-awaited");
}

#[tokio::test]
async fn a_knock_gives_precedence_a_few_times() {
    let listener = listener().await;
    let (invitation, _expectation) = invited(&listener, NODE);
    let knock = tls::knock(&invitation.token);
    assert!(!listener.is_knock("") && !listener.is_knock(&invitation.token.0));
    for _ in 0..KNOCKS {
        assert!(listener.is_knock(&knock));
    }
    assert!(!listener.is_knock(&knock), "whoever saw it can repeat it");
}

/// From the same address, as with runners on the parent's computer.
#[tokio::test]
async fn a_runner_that_has_knocked_is_not_displaced_by_a_flood() {
    let listener = listener().await;
    let (invitation, mut expectation) = invited(&listener, NODE);
    let hello = hello(NODE, &invitation.token, Purpose::Link);
    // What the runner hears is held up until the flood is there.
    let (client, held) = tokio::io::duplex(64 * 1024);
    let (mut from_client, mut to_client) = tokio::io::split(held);
    let (mut from_parent, mut to_parent) = TcpStream::connect(listener.address).await.unwrap().into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_parent).await });
    let connector = invitation.identity.connector(&hello.token).unwrap();
    let joining = tokio::spawn(async move {
        let mut stream = connector.connect(tls::parent_name(), client).await?;
        join::say(&mut stream, &hello).await.expect("it is heard");
        join::hear::<Result<Welcome, Error>, _>(&mut stream).await.expect("an answer").expect("a welcome");
        std::io::Result::Ok(stream)
    });
    let mut byte = [0];
    from_parent.peek(&mut byte).await.unwrap();

    let mut flood = Vec::new();
    for _ in 0..300 {
        flood.push(TcpStream::connect(listener.address).await.unwrap());
    }
    // The first of the flood has been displaced by the last, so whoever was before it would have been too.
    assert_eq!(flood[0].peek(&mut byte).await.unwrap_or(0), 0);
    tokio::spawn(async move { tokio::io::copy(&mut from_parent, &mut to_client).await });
    tokio::time::timeout(MINUTE / 2, joining).await.expect("an answer").unwrap().unwrap();
    expectation.joined().await.unwrap();
}

#[tokio::test]
async fn the_listener_does_not_show_its_tokens() {
    let listener = listener().await;
    let (invitation, _expectation) = invited(&listener, NODE);
    let shown = format!("{listener:?} {listener:#?}");
    assert!(!shown.contains(&invitation.token.0), "{shown}");
}

// ---- streams: tests/tests/streams has them over real processes ----

/// The two ends of a stream's connection that was admitted.
async fn opened(listener: &Arc<Listener>, invitation: &Invitation, mut expectation: Expectation<Wire>) -> (Wire, Tls) {
    let (near, far) = pair().await;
    let connector = invitation.identity.connector(&invitation.token).unwrap();
    let hello = hello(&invitation.node, &invitation.token, Purpose::Stream);
    let client = async {
        let mut stream = connector.connect(tls::parent_name(), far).await.unwrap();
        join::say(&mut stream, &hello).await.unwrap();
        join::hear::<Result<(), Error>, _>(&mut stream).await.unwrap().unwrap();
        stream
    };
    let server = async {
        let start = LazyConfigAcceptor::new(Acceptor::default(), near).await.unwrap();
        Arc::clone(listener).shake_hands(start).await.unwrap();
        expectation.joined().await.unwrap()
    };
    tokio::join!(server, client)
}

type Tls = tokio_rustls::client::TlsStream<TcpStream>;

fn invited_to_stream(listener: &Arc<Listener>, node: &str) -> (Invitation, Expectation<Wire>) {
    listener.invite_stream(&"web".into(), &node.into(), None).unwrap()
}

/// What is answered to this on a connection that is there.
async fn answer(stream: &mut Tls, hello: &Hello) -> Result<(), Error> {
    join::say(stream, hello).await?;
    tokio::time::timeout(MINUTE / 2, join::hear::<Result<(), Error>, _>(stream)).await.expect("an answer or an end")?
}

#[tokio::test]
async fn the_token_of_a_stream_is_good_once_and_for_one_node() {
    let listener = listener().await;
    let (thief, _thief) = invited_to_stream(&listener, "web.thief");
    let (victim, expectation) = invited_to_stream(&listener, NODE);
    // Of another node, by another purpose, and after it was used.
    let hello_of = |token: &Secret, purpose| hello(NODE, token, purpose);
    let stolen = hello_of(&victim.token, Purpose::Stream);
    assert_eq!(reason(&listener, &thief.identity, &stolen).await, "another-runner");
    assert_eq!(reason(&listener, &victim.identity, &stolen).await, "not-awaited");
    drop(expectation);
    for purpose in [Purpose::Link, Purpose::Session] {
        let (invitation, mut expectation) = invited_to_stream(&listener, NODE);
        assert_eq!(reason(&listener, &invitation.identity, &hello_of(&invitation.token, purpose)).await, "purpose");
        assert!(expectation.joined().await.is_err());
    }
    let (invitation, expectation) = invited_to_stream(&listener, NODE);
    let again = hello_of(&invitation.token, Purpose::Stream);
    let _ends = opened(&listener, &invitation, expectation).await;
    assert_eq!(reason(&listener, &invitation.identity, &again).await, "not-awaited");
}

#[tokio::test]
async fn an_invitation_to_join_opens_no_stream() {
    let listener = listener().await;
    let (invitation, _expectation) = invited(&listener, NODE);
    let hello = hello(NODE, &invitation.token, Purpose::Stream);
    assert_eq!(reason(&listener, &invitation.identity, &hello).await, "purpose");
}

#[tokio::test]
async fn a_connection_is_used_again_by_its_node_only() {
    let listener = listener().await;
    let again = |node: &str| invited_to_stream(&listener, node);
    let (first, expectation) = again(NODE);
    let (wire, mut stream) = opened(&listener, &first, expectation).await;
    let (next, mut expectation) = again(NODE);
    wire.reuse();
    answer(&mut stream, &hello(NODE, &next.token, Purpose::Stream)).await.unwrap();
    let wire = expectation.joined().await.unwrap();
    // A token that is used is no token.
    wire.reuse();
    answer(&mut stream, &hello(NODE, &next.token, Purpose::Stream)).await.unwrap_err();

    let (other, mut others) = again("web.b");
    for (node, purpose) in [("web.b", Purpose::Stream), (NODE, Purpose::Stream), (NODE, Purpose::Link)] {
        let (first, expectation) = again(NODE);
        let (wire, mut stream) = opened(&listener, &first, expectation).await;
        wire.reuse();
        answer(&mut stream, &hello(node, &other.token, purpose)).await.unwrap_err();
    }
    // Nor does it become a runner's link.
    let (runner, _runner) = invited(&listener, NODE);
    let (first, expectation) = again(NODE);
    let (wire, mut stream) = opened(&listener, &first, expectation).await;
    wire.reuse();
    answer(&mut stream, &hello(NODE, &runner.token, Purpose::Link)).await.unwrap_err();
    // It is still the other's.
    let hello = hello("web.b", &other.token, Purpose::Stream);
    outcome(&listener, &other.identity, &hello).await.unwrap();
    others.joined().await.unwrap();
}

#[tokio::test]
async fn a_stream_that_is_given_up_voids_its_token() {
    let listener = listener().await;
    let (invitation, expectation) = invited_to_stream(&listener, NODE);
    drop(expectation);
    let hello = hello(NODE, &invitation.token, Purpose::Stream);
    assert_eq!(reason(&listener, &invitation.identity, &hello).await, "not-awaited");
}

#[test]
fn an_advertised_host_gets_the_port_that_it_lacks() {
    for (host, advertised) in [
        ("web.internal", "web.internal:41"),
        ("web.internal:4000", "web.internal:4000"),
        ("10.0.0.1", "10.0.0.1:41"),
        ("10.0.0.1:4000", "10.0.0.1:4000"),
        ("fdaa::3", "[fdaa::3]:41"),
        ("[fdaa::3]", "[fdaa::3]:41"),
        ("[fdaa::3]:4000", "[fdaa::3]:4000"),
    ] {
        assert_eq!(super::with_port(host.to_owned(), 41), advertised);
    }
}
