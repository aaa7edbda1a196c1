//! What the tests of the bus share: the requests of the golden file, and bytes as hexadecimal.
#![allow(dead_code, reason = "each test binary uses its own part")]

use longhand_bus::request::Request;
use longhand_bus::{Id, Protocol, Span, Target};
use serde_json::Value;

/// What the vendors' SDKs said: `tests/vendors/bytes.py say`.
pub const GOLDEN: &str = include_str!("../golden/vendors.json");

/// Bytes as a line of digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The protocol that an entry names.
pub fn protocol(entry: &Value) -> Protocol {
    match entry["protocol"].as_str().unwrap() {
        "dynamixel" => Protocol::Dynamixel,
        "feetech" => Protocol::Feetech,
        other => panic!("{other}"),
    }
}

fn bytes(list: &Value) -> Vec<u8> {
    list.as_array()
        .into_iter()
        .flatten()
        .map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap())
        .collect()
}

/// Calls `act` with the request that an entry describes.
pub fn with_request<T>(entry: &Value, act: impl FnOnce(Request<'_>) -> T) -> T {
    let id = entry["id"].as_u64().map(|id| Id::new(u8::try_from(id).unwrap()).unwrap());
    let to = id.map_or(Target::All, Target::One);
    let address = u16::try_from(entry["address"].as_u64().unwrap_or(0)).unwrap();
    let length = u8::try_from(entry["length"].as_u64().unwrap_or(0)).unwrap();
    let span = Span { address, bytes: length };
    let (data, ids) = (bytes(&entry["data"]), bytes(&entry["ids"]));
    let rows = entry["rows"].as_array().into_iter().flatten().flat_map(|row| {
        let id = u8::try_from(row[0].as_u64().unwrap()).unwrap();
        std::iter::once(id).chain(bytes(&row[1])).collect::<Vec<u8>>()
    });
    let rows: Vec<u8> = rows.collect();
    act(match entry["what"].as_str().unwrap() {
        "ping" => Request::Ping(to),
        "action" => Request::Action(to),
        "reboot" => Request::Reboot(to),
        "read" => Request::Read(id.unwrap(), span),
        "write" => Request::Write(to, address, &data),
        "write later" => Request::WriteLater(to, address, &data),
        "sync read" => Request::SyncRead(span, &ids),
        "fast sync read" => Request::FastSyncRead(span, &ids),
        "sync write" => Request::SyncWrite(span, &rows),
        other => panic!("{other}"),
    })
}
