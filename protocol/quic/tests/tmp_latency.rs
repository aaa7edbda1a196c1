#![allow(clippy::unwrap_used)]
mod common;
use common::*;
use longhand_quic::trust::Role;
use std::time::{Duration, Instant};
#[test]
fn lat() {
    let a = hospital();
    let robot = robot(credentials(&a, Role::Robot, "or3"));
    let console = console(robot.addr, credentials(&a, Role::Surgeon, "dr"));
    console.connected(); robot.accepted();
    let mut v = Vec::new();
    for i in 0..3000u32 {
        let t = Instant::now();
        console.send_datagram(&[(i%251) as u8; DATAGRAM]);
        robot.datagram();
        v.push(t.elapsed().as_micros());
        std::thread::sleep(Duration::from_micros(900));
    }
    v.sort();
    println!("one way incl. mpsc wake: p50 {} p90 {} p99 {} max {}", v[1500], v[2700], v[2970], v[2999]);
}
