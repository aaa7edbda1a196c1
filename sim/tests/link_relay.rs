//! The relay between real sockets on this machine. Nothing here judges wall-clock time: only order,
//! counts, and what the link was asked to do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::net::UdpSocket;
use std::time::Duration;

use longhand_link::{Direction, Directions, Disturb, DropCause, LinkModel, Profile, Trace};
use longhand_protocol::units::Micros;
use longhand_sim::relay::{CLIENTS_MAX, Lanes, Relay, RelayError, RelayHandle, RelayOptions};

const SEED: u64 = 42;
/// A packet that never comes fails the test after this, and only then.
const PATIENCE: Duration = Duration::from_secs(20);

fn ideal() -> LinkModel {
    LinkModel::from(Profile::by_name("ideal").unwrap())
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A client pointed at a relay, and the far end behind it.
fn joined(model: LinkModel) -> (UdpSocket, RelayHandle, UdpSocket) {
    let (client, far) = (socket(), socket());
    let listen = "127.0.0.1:0".parse().unwrap();
    let relay = Relay::start(listen, far.local_addr().unwrap(), model, SEED).unwrap();
    client.connect(relay.local_addr()).unwrap();
    (client, relay, far)
}

fn received(socket: &UdpSocket) -> (u32, std::net::SocketAddr) {
    let mut bytes = [0_u8; 64];
    let (len, from) = socket.recv_from(&mut bytes).unwrap();
    (u32::from_le_bytes(bytes[..len].try_into().unwrap()), from)
}

#[test]
fn an_ideal_link_delivers_everything_in_order_both_ways() {
    let (client, relay, far) = joined(ideal());
    // One at a time, so that no socket buffer of the machine can overflow.
    for n in 0..2_000_u32 {
        client.send(&n.to_le_bytes()).unwrap();
        let (got, from) = received(&far);
        assert_eq!(got, n);
        far.send_to(&(n + 1).to_le_bytes(), from).unwrap();
        assert_eq!(received(&client).0, n + 1);
    }
    let stats = relay.stop().unwrap();
    for direction in Direction::BOTH {
        let lane = stats.link.lane(direction);
        assert_eq!((lane.offered, lane.delivered, lane.dropped_total()), (2_000, 2_000, 0));
    }
    assert_eq!(stats.error.count, 4_000);
    assert_eq!((stats.send_failed, stats.nobody_there), (Lanes::default(), 0));
}

#[test]
fn jitter_keeps_the_order_of_a_burst() {
    let (client, relay, far) = joined(LinkModel::from(Profile::by_name("geo").unwrap()));
    // Its own loss would depend on when the machine lets us send.
    relay.set_disturb(Disturb { loss: Some(0.0), ..Disturb::default() }).unwrap();
    for n in 0..64_u32 {
        client.send(&n.to_le_bytes()).unwrap();
    }
    let got: Vec<u32> = (0..64).map(|_| received(&far).0).collect();
    assert!(got.is_sorted(), "{got:?}");
    drop(relay);
}

#[test]
fn a_black_hole_swallows_everything_and_then_ends() {
    let (client, relay, far) = joined(ideal());
    // Longer than any test; it ends by another model below, not by waiting.
    relay.black_hole(Directions::Up, Micros::from_secs(3_600)).unwrap();
    for n in 0..100_u32 {
        client.send(&n.to_le_bytes()).unwrap();
    }
    let swallowed =
        |relay: &RelayHandle| relay.stats().unwrap().link.up.dropped(DropCause::BlackHole);
    // The counter is the signal: each look is a round trip to the relay's thread.
    while swallowed(&relay) < 100 {
        std::thread::yield_now();
    }
    far.set_nonblocking(true).unwrap();
    assert!(far.recv(&mut [0_u8; 64]).is_err());
    assert_eq!(relay.stats().unwrap().link.up.delivered, 0);
}

/// Two programs at once: each hears the answers to its own packets and nobody else's, and both meet
/// the same outage.
#[test]
fn clients_have_addresses_of_their_own_and_share_the_link() {
    let (first, relay, far) = joined(ideal());
    let second = socket();
    second.connect(relay.local_addr()).unwrap();
    let at_far = [(&first, 1_u32), (&second, 2)].map(|(client, n)| {
        client.send(&n.to_le_bytes()).unwrap();
        let (got, from) = received(&far);
        assert_eq!(got, n);
        from
    });
    assert_ne!(at_far[0], at_far[1], "the far end must tell them apart");
    // Answered the other way round: each goes home.
    for (client, place) in [(&second, 1_u32), (&first, 0)] {
        far.send_to(&(10 + place).to_le_bytes(), at_far[usize::try_from(place).unwrap()]).unwrap();
        assert_eq!(received(client).0, 10 + place);
    }
    relay.black_hole(Directions::Both, Micros::from_secs(3_600)).unwrap();
    for client in [&first, &second] {
        client.send(&3_u32.to_le_bytes()).unwrap();
    }
    while relay.stats().unwrap().link.up.dropped(DropCause::BlackHole) < 2 {
        std::thread::yield_now();
    }
    let stats = relay.stop().unwrap();
    let addresses = [&first, &second].map(|client| client.local_addr().unwrap());
    let told: Vec<_> = stats.clients.iter().map(|client| (client.number, client.address)).collect();
    assert_eq!(told, [(1, addresses[0]), (2, addresses[1])]);
    assert_eq!((stats.link.up.offered, stats.clients_replaced), (4, 0));
}

/// One queue for all: what one client fills, the other waits in.
#[test]
fn what_one_client_sends_waits_in_the_others_queue() {
    let header =
        r##"#{"format":"longhand-link-trace-1","kind":"capacity","time_base":"relative_us","##;
    let more =
        r##""dirs":"ud","sampling_us":1000,"loss_semantics":"none","interpolation":"step","##;
    let end = r##""loop_us":3600000000,"probe":"","source":"","licence":""}"##;
    let columns = "t_us,dir,owd_us,lost,dup,rate_bps,queue_bytes,route_id,flags";
    // A hundred kilobits a second: 1250 bytes take a tenth of a second.
    let text = format!("{header}{more}{end}\n{columns}\n0,b,,,,100000\n");
    let (first, relay, far) = joined(LinkModel::from(Trace::parse(&text).unwrap()));
    let second = socket();
    second.connect(relay.local_addr()).unwrap();
    first.send(&[0; 1_250]).unwrap();
    while relay.stats().unwrap().link.up.offered < 1 {
        std::thread::yield_now();
    }
    let sent = std::time::Instant::now();
    second.send(&7_u32.to_le_bytes()).unwrap();
    let mut bytes = [0_u8; 2_000];
    assert_eq!(far.recv(&mut bytes).unwrap(), 1_250);
    assert_eq!(received(&far).0, 7);
    // Never sooner than the line was free; how much later is the machine's.
    assert!(sent.elapsed() > Duration::from_millis(50), "{:?}", sent.elapsed());
}

#[test]
fn one_client_too_many_takes_the_place_of_the_longest_silent() {
    let (first, relay, far) = joined(ideal());
    let mut clients = vec![first];
    for n in 0..CLIENTS_MAX {
        let n = u32::try_from(n).unwrap();
        if n > 0 {
            let client = socket();
            client.connect(relay.local_addr()).unwrap();
            clients.push(client);
        }
        clients.last().unwrap().send(&n.to_le_bytes()).unwrap();
        assert_eq!(received(&far).0, n);
    }
    // The first is heard again: now the second was silent longest.
    clients[0].send(&100_u32.to_le_bytes()).unwrap();
    let (_, home) = received(&far);
    let one_more = socket();
    one_more.connect(relay.local_addr()).unwrap();
    one_more.send(&101_u32.to_le_bytes()).unwrap();
    received(&far);
    far.send_to(&102_u32.to_le_bytes(), home).unwrap();
    assert_eq!(received(&clients[0]).0, 102);
    let stats = relay.stop().unwrap();
    assert_eq!((stats.clients.len(), stats.clients_replaced), (CLIENTS_MAX, 1));
    let gone = clients[1].local_addr().unwrap();
    assert!(stats.clients.iter().all(|client| client.address != gone));
}

/// Two far ends, as a robot's commands and its answers to plain UDP, behind one link.
#[test]
fn doors_lead_to_far_ends_of_their_own_over_one_link() {
    let fars = [socket(), socket()];
    let listen = "127.0.0.1:0".parse().unwrap();
    let doors = fars.each_ref().map(|far| (listen, far.local_addr().unwrap()));
    let relay = Relay::start_doors(&doors, RelayOptions::new(ideal(), SEED)).unwrap();
    let client = socket();
    for (n, (at, far)) in (0_u32..).zip(relay.local_addrs().iter().zip(&fars)) {
        client.send_to(&n.to_le_bytes(), at).unwrap();
        let (got, from) = received(far);
        far.send_to(&(got + 10).to_le_bytes(), from).unwrap();
        assert_eq!((got, received(&client)), (n, (n + 10, *at)));
    }
    let stats = relay.stop().unwrap();
    assert_eq!(stats.link.up.offered, 2);
    let at: Vec<_> = stats.clients.iter().map(|client| client.at).collect();
    assert_eq!(at, relay.local_addrs());
    let none = Relay::start_doors(&[], RelayOptions::new(ideal(), SEED)).unwrap_err();
    assert!(matches!(none, RelayError::Doors(0)), "{none}");
}

#[test]
fn a_new_model_and_disturbances_take_hold_while_it_runs() {
    let (client, relay, far) = joined(ideal());
    relay.set_disturb(Disturb { duplicate: 1.0, ..Disturb::default() }).unwrap();
    // Orders are obeyed in the order given, so the answer to this one means the one before is done.
    relay.stats().unwrap();
    client.send(&7_u32.to_le_bytes()).unwrap();
    assert_eq!((received(&far).0, received(&far).0), (7, 7));
    relay.set_disturb(Disturb { loss: Some(1.0), ..Disturb::default() }).unwrap();
    relay.set_model(ideal()).unwrap();
    relay.stats().unwrap();
    client.send(&8_u32.to_le_bytes()).unwrap();
    while relay.stats().unwrap().link.up.dropped(DropCause::Loss) < 1 {
        std::thread::yield_now();
    }
    assert_eq!(relay.stats().unwrap().link.up.offered, 2);
}

#[test]
fn a_wrong_bit_is_one_bit() {
    let (client, far) = (socket(), socket());
    let disturb = Disturb { corrupt: 1.0, ..Disturb::default() };
    let options = RelayOptions { disturb, ..RelayOptions::new(ideal(), SEED) };
    let listen = "127.0.0.1:0".parse().unwrap();
    let relay = Relay::start_with(listen, far.local_addr().unwrap(), options).unwrap();
    client.connect(relay.local_addr()).unwrap();
    for _ in 0..100 {
        client.send(&0_u32.to_le_bytes()).unwrap();
        assert_eq!(received(&far).0.count_ones(), 1);
    }
}

#[test]
fn the_log_has_a_row_for_every_packet() {
    let (client, far) = (socket(), socket());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    let options = RelayOptions { log: Some(path.clone()), ..RelayOptions::new(ideal(), SEED) };
    let listen = "127.0.0.1:0".parse().unwrap();
    let relay = Relay::start_with(listen, far.local_addr().unwrap(), options).unwrap();
    client.connect(relay.local_addr()).unwrap();
    for n in 0..10_u32 {
        client.send(&n.to_le_bytes()).unwrap();
        received(&far);
    }
    relay.stop().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows.len(), 11, "{text}");
    assert!(rows[0].starts_with("sent_us,dir,bytes,fate"));
    let is_whole = |row: &&str| row.contains(",up,4,delivered,") && row.ends_with(",1");
    assert!(rows[1..].iter().all(is_whole), "{text}");
}

/// Nobody listens at the far end: its machine says so, and the system then refuses to send the next
/// packet of a burst. The log says of just those that they were not sent.
#[test]
fn what_the_system_does_not_send_is_no_delivery_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    let (client, nobody) = (socket(), socket().local_addr().unwrap());
    let options = RelayOptions { log: Some(path.clone()), ..RelayOptions::new(ideal(), SEED) };
    let relay = Relay::start_with("127.0.0.1:0".parse().unwrap(), nobody, options).unwrap();
    client.connect(relay.local_addr()).unwrap();
    // The counter is the signal: two packets of a burst must have come due at once.
    while relay.stats().unwrap().send_failed.up == 0 {
        for n in 0..32_u32 {
            client.send(&n.to_le_bytes()).unwrap();
        }
    }
    let stats = relay.stop().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let fates = |name: &str| {
        let rows = text.lines().skip(1).filter(|row| row.split(',').nth(3) == Some(name));
        u64::try_from(rows.count()).unwrap()
    };
    assert_eq!(fates("send-failed"), stats.send_failed.up, "{text}");
    assert_eq!(fates("delivered") + fates("send-failed"), stats.error.count);
    assert!(fates("delivered") > 0 && stats.nobody_there >= stats.send_failed.up, "{stats:?}");
    assert_eq!(stats.send_failed.down, 0);
}

#[test]
fn a_taken_port_says_what_to_do() {
    let taken = socket();
    let (address, far) = (taken.local_addr().unwrap(), socket().local_addr().unwrap());
    let error = Relay::start(address, far, ideal(), SEED).unwrap_err();
    assert!(matches!(error, RelayError::Listen { .. }));
    let said = error.to_string();
    assert!(said.contains(&address.to_string()) && said.contains("free port"), "{said}");
}

#[test]
fn a_stopped_relay_still_answers_what_it_did() {
    let (client, relay, far) = joined(ideal());
    client.send(&1_u32.to_le_bytes()).unwrap();
    received(&far);
    let first = relay.stop().unwrap();
    assert_eq!(relay.stats().unwrap().link, first.link);
    assert!(matches!(relay.set_model(ideal()), Err(RelayError::Stopped)));
}

#[test]
fn a_trace_runs_in_real_time_too() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/traces/cicv5g-urban-stationary.csv");
    let trace = Trace::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (client, relay, far) = joined(LinkModel::from(trace));
    client.send(&5_u32.to_le_bytes()).unwrap();
    assert_eq!(received(&far).0, 5);
    assert_eq!(relay.stop().unwrap().link.up.delivered, 1);
}

/// A disk that is full: the kernel's own, which refuses every byte.
#[test]
fn a_log_that_the_disk_refuses_is_told_with_the_rows_that_it_lacks() {
    let (client, far) = (socket(), socket());
    let path = std::path::PathBuf::from("/dev/full");
    let options = RelayOptions { log: Some(path.clone()), ..RelayOptions::new(ideal(), SEED) };
    let listen = "127.0.0.1:0".parse().unwrap();
    let relay = Relay::start_with(listen, far.local_addr().unwrap(), options).unwrap();
    client.connect(relay.local_addr()).unwrap();
    assert_eq!(relay.stats().unwrap().is_valid(), None, "nothing came: nothing is known");
    for n in 0..10_u32 {
        client.send(&n.to_le_bytes()).unwrap();
        received(&far);
    }
    let stats = relay.stop().unwrap();
    let failure = stats.log_failure.unwrap();
    assert_eq!((failure.path, stats.log_lost), (path, 10));
    assert!(failure.why.contains("No space"), "{}", failure.why);
}
