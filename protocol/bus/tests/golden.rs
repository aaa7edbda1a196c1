//! Our bytes are the vendors': each request as their SDKs say it, and each register where their
//! tables have it.
//!
//! The golden file is what `tests/vendors/bytes.py say` printed; `vendors.rs` prints it anew where
//! the SDKs can be installed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test: a panic is how it fails"
)]

mod common;

use common::{GOLDEN, hex, protocol, with_request};
use longhand_bus::model::{MODELS, What};
use longhand_bus::receive::Receiver;
use longhand_bus::request::{Request, Unsayable};
use longhand_bus::{Id, Protocol, Span, Target};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(GOLDEN).unwrap()
}

#[test]
fn each_request_is_byte_for_byte_what_the_vendors_sdk_says() {
    let golden = golden();
    let requests = golden["requests"].as_array().unwrap();
    assert!(requests.len() > 60, "the golden file lost its requests");
    for entry in requests {
        let ours = with_request(entry, |request| request.encode(protocol(entry)).unwrap());
        assert_eq!(hex(ours.as_slice()), entry["bytes"].as_str().unwrap(), "{entry}");
    }
}

#[test]
fn each_request_is_understood_as_it_was_meant() {
    for entry in golden()["requests"].as_array().unwrap() {
        let protocol = protocol(entry);
        with_request(entry, |meant| {
            let mut receiver = Receiver::new(protocol);
            receiver.push(meant.encode(protocol).unwrap().as_slice());
            let frame = receiver.next_frame().unwrap();
            assert_eq!(Request::of(&frame, protocol), Some(meant), "{entry}");
            assert_eq!(receiver.next_frame(), None);
        });
    }
}

/// ROBOTIS' name of what we call otherwise.
#[allow(clippy::wildcard_enum_match_arm, reason = "the rest is called as they call it")]
fn robotis(what: What) -> String {
    match what {
        What::ReturnDelay => "Return Delay Time".to_owned(),
        What::MaxVoltage => "Max Voltage Limit".to_owned(),
        What::MinVoltage => "Min Voltage Limit".to_owned(),
        What::MaxTorque => "PWM Limit".to_owned(),
        What::MaxPosition => "Max Position Limit".to_owned(),
        What::MinPosition => "Min Position Limit".to_owned(),
        What::Shutdown => "Shutdown".to_owned(),
        What::PresentVoltage => "Present Input Voltage".to_owned(),
        other => other.to_string(),
    }
}

#[test]
fn each_register_of_the_x_series_lies_where_robotis_table_has_it() {
    let golden = golden();
    let mut compared = 0;
    for model in MODELS.iter().filter(|model| model.protocol == Protocol::Dynamixel) {
        let table = golden["tables"][model.name.replace('-', "_")].as_object().unwrap();
        for register in model.registers {
            let name = robotis(register.what).to_lowercase();
            let theirs = table.iter().find(|(key, _)| key.to_lowercase() == name);
            let (_, theirs) = theirs.unwrap_or_else(|| panic!("{}: no {name}", model.name));
            assert_eq!(theirs[0], register.address, "{} {name}", model.name);
            assert_eq!(theirs[1], register.bytes, "{} {name}", model.name);
            compared += 1;
        }
    }
    assert!(compared > 110, "{compared}");
}

#[test]
fn tables_do_not_overlap_and_hold_what_they_begin_with() {
    for model in MODELS {
        for register in model.registers {
            let bytes = register.encode(register.first).unwrap();
            let width = usize::from(register.bytes);
            assert_eq!(register.decode(&bytes[..width]), Some(register.first));
            let end = register.address + u16::from(register.bytes);
            let inside = |address| (register.address..end).contains(&address);
            let others = model.registers.iter().filter(|other| inside(other.address)).count();
            assert_eq!(others, 1, "{} {}", model.name, register.what);
            let twins = model.registers.iter().filter(|other| other.what == register.what);
            assert_eq!(twins.count(), 1, "{} {}", model.name, register.what);
        }
    }
}

#[test]
fn a_number_that_has_no_room_is_refused_a_step_beyond_its_edge() {
    let x = |what| MODELS[4].register(what).unwrap();
    assert_eq!(MODELS[4].name, "xm430-w350");
    assert!(x(What::BusWatchdog).encode(127).is_ok() && x(What::BusWatchdog).encode(128).is_err());
    assert_eq!(x(What::BusWatchdog).encode(-1), Ok([0xff, 0, 0, 0]));
    assert!(x(What::Id).encode(255).is_ok() && x(What::Id).encode(256).is_err());
    assert!(x(What::Id).encode(-1).is_err());
    let sts = |what| MODELS[0].register(what).unwrap();
    assert_eq!(sts(What::HomingOffset).encode(-2047), Ok([0xff, 0x0f, 0, 0]));
    assert!(sts(What::HomingOffset).encode(-2048).is_err());
    assert_eq!(sts(What::HomingOffset).decode(&[0xff, 0x0f]), Some(-2047));
    assert_eq!(sts(What::PresentVelocity).decode(&[0x32, 0x80]), Some(-50));
}

#[test]
fn what_cannot_be_said_is_refused_in_words() {
    let id = Id::new(1).unwrap();
    let far = Request::Read(id, Span { address: 256, bytes: 1 });
    assert_eq!(far.encode(Protocol::Feetech), Err(Unsayable::Address));
    assert!(far.encode(Protocol::Dynamixel).is_ok());
    let reboot = Request::Reboot(Target::One(id));
    assert_eq!(reboot.encode(Protocol::Feetech), Err(Unsayable::NotInThisProtocol));
    let rows = Request::SyncWrite(Span { address: 0, bytes: 2 }, &[1, 2, 3, 4]);
    assert_eq!(rows.encode(Protocol::Dynamixel), Err(Unsayable::Rows));
    // The longest that fits, and a byte more; FF FF FD grows by a third.
    let write = |data: &[u8], protocol| Request::Write(Target::One(id), 0, data).encode(protocol);
    assert!(write(&[0; 500], Protocol::Dynamixel).is_ok());
    assert_eq!(write(&[0; 501], Protocol::Dynamixel), Err(Unsayable::TooLong));
    assert_eq!(
        write(&[0xff, 0xff, 0xfd].repeat(130), Protocol::Dynamixel),
        Err(Unsayable::TooLong)
    );
    assert!(write(&[0; 243], Protocol::Feetech).is_ok());
    assert_eq!(write(&[0; 244], Protocol::Feetech), Err(Unsayable::TooLong));
    assert_eq!((Id::new(252).is_some(), Id::new(253)), (true, None));
}
