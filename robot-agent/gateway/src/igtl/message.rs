//! OpenIGTLink's bytes.
//!
//! Knows: headers of version 1 and 2, the checksum, and the bodies that we say or are asked with.
//! Does not know: sockets, or whose robot it is. Big endian throughout.
//!
//! Source: the OpenIGTLink protocol, versions 2 and 3; openigtlink.org.

use crc::{CRC_64_ECMA_182, Crc};
use longhand_protocol::geometry::{Pose, RobotBase, Tip};

/// The header of every message, bytes.
pub const HEADER: usize = 58;
/// The extended header of version 2, bytes.
const EXTENDED: u16 = 12;
/// The largest body that is read. Chosen: what we are asked with has 36 bytes.
pub const BODY_MAX: u64 = 65_536;

const CRC: Crc<u64> = Crc::<u64>::new(&CRC_64_ECMA_182);

/// A header as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// 1, or 2 where an extended header follows.
    pub version: u16,
    /// The type of the message, filled with zeros.
    pub kind: [u8; 12],
    /// Bytes that follow.
    pub size: u64,
    /// Over them.
    pub crc: u64,
}

impl Header {
    /// Reads one.
    pub fn of(bytes: &[u8; HEADER]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk::<2>()?;
        let (kind, rest) = rest.split_first_chunk::<12>()?;
        // The device's name and the time, which do not matter.
        let (_, rest) = rest.split_at_checked(28)?;
        let (size, rest) = rest.split_first_chunk::<8>()?;
        let (crc, _) = rest.split_first_chunk::<8>()?;
        Some(Self {
            version: u16::from_be_bytes(*version),
            kind: *kind,
            size: u64::from_be_bytes(*size),
            crc: u64::from_be_bytes(*crc),
        })
    }

    /// Its type is this one.
    pub fn is(&self, kind: &str) -> bool {
        self.kind == padded::<12>(kind)
    }

    /// What follows it is `bytes`.
    pub fn fits(&self, bytes: &[u8]) -> bool {
        CRC.checksum(bytes) == self.crc
    }
}

/// Who says it, when, and in which form.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// 1 or 2.
    pub version: u16,
    /// At most 20 bytes.
    pub device: &'a str,
    /// Wall time, ns since 1970.
    pub wall_ns: u64,
    /// A number of the message, in version 2.
    pub number: u32,
}

/// A whole message.
pub fn pack(sender: &Sender<'_>, kind: &str, body: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(body.len().saturating_add(16));
    if sender.version > 1 {
        content.extend(EXTENDED.to_be_bytes());
        // A table of no metadata is its count alone.
        content.extend(2_u16.to_be_bytes());
        content.extend(0_u32.to_be_bytes());
        content.extend(sender.number.to_be_bytes());
        content.extend(body);
        content.extend(0_u16.to_be_bytes());
    } else {
        content.extend(body);
    }
    let mut message = Vec::with_capacity(content.len().saturating_add(HEADER));
    message.extend(sender.version.to_be_bytes());
    message.extend(padded::<12>(kind));
    message.extend(padded::<20>(sender.device));
    message.extend(time(sender.wall_ns).to_be_bytes());
    message.extend(u64::try_from(content.len()).unwrap_or(0).to_be_bytes());
    message.extend(CRC.checksum(&content).to_be_bytes());
    message.extend(content);
    message
}

/// The body of what came, without the extended header. `None`: it says more than there is.
pub fn inner(version: u16, content: &[u8]) -> Option<&[u8]> {
    if version < 2 {
        return Some(content);
    }
    let (size, _) = content.split_first_chunk::<2>()?;
    content.get(usize::from(u16::from_be_bytes(*size))..)
}

/// A TRANSFORM's body: the rotation's columns, then the place in millimetres.
pub fn transform(pose: &Pose<RobotBase, Tip>) -> Vec<u8> {
    let rotation = pose.rotation().to_rotation_matrix();
    let place = pose.position() * 1e3;
    let columns = rotation.matrix().iter().chain(place.iter());
    columns.flat_map(|value| single(*value).to_be_bytes()).collect()
}

/// A TDATA's body: each tool's name and where it is; a tracker of six dimensions.
pub fn tracking(tools: &[(&str, &Pose<RobotBase, Tip>)]) -> Vec<u8> {
    const SIX_D: u8 = 2;
    let one = |(name, pose): &(&str, &Pose<RobotBase, Tip>)| {
        let head = padded::<20>(name).into_iter().chain([SIX_D, 0]);
        head.chain(transform(pose)).collect::<Vec<u8>>()
    };
    tools.iter().flat_map(one).collect()
}

/// A STATUS's body. `name` is at most 20 bytes.
pub fn status(code: u16, name: &str, words: &str) -> Vec<u8> {
    let head = code.to_be_bytes().into_iter().chain(0_i64.to_be_bytes());
    head.chain(padded::<20>(name)).chain(words.bytes()).chain([0]).collect()
}

/// A STRING's body, in ASCII.
pub fn string(words: &str) -> Vec<u8> {
    const US_ASCII: u16 = 3;
    let words: Vec<u8> = words.bytes().filter(u8::is_ascii).take(usize::from(u16::MAX)).collect();
    let length = u16::try_from(words.len()).unwrap_or(u16::MAX);
    US_ASCII.to_be_bytes().into_iter().chain(length.to_be_bytes()).chain(words).collect()
}

/// A SENSOR's body: numbers without a common unit.
pub fn sensor(values: &[f64]) -> Vec<u8> {
    let count = u8::try_from(values.len()).unwrap_or(u8::MAX);
    let values = values.iter().take(usize::from(count)).flat_map(|value| value.to_be_bytes());
    [count, 0].into_iter().chain(0_u64.to_be_bytes()).chain(values).collect()
}

/// Seconds since 1970 with 32 bits behind the point.
fn time(wall_ns: u64) -> u64 {
    let (seconds, nanos) = (wall_ns / 1_000_000_000, wall_ns % 1_000_000_000);
    (seconds << 32) | ((nanos << 32) / 1_000_000_000)
}

fn padded<const N: usize>(words: &str) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.iter_mut().zip(words.bytes()).for_each(|(to, from)| *to = from);
    bytes
}

#[allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "to the nearest f32: what the format carries"
)]
const fn single(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{UnitQuaternion, Vector3};

    #[test]
    fn the_checksum_is_the_standards() {
        // Source: the CRC catalogue's check value, and upstream's own TRANSFORM.
        assert_eq!(CRC.checksum(b"123456789"), 0x6c40_df5f_0b49_7347);
    }

    #[test]
    fn a_transform_is_columns_and_millimetres() {
        let turn = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), std::f64::consts::FRAC_PI_2);
        let pose = Pose::new(Vector3::new(0.001, 0.002, -0.11), turn);
        let bytes = transform(&pose);
        let (values, _) = bytes.as_chunks::<4>();
        let values: Vec<f32> = values.iter().map(|bytes| f32::from_be_bytes(*bytes)).collect();
        // x goes to y: the first column is (0, 1, 0).
        let expected = [0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 2.0, -110.0];
        for (value, expected) in values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-5, "{values:?}");
        }
        assert_eq!(values.len(), 12);
    }

    #[test]
    fn a_header_is_read_back_in_both_versions() {
        for version in [1, 2] {
            let sender = Sender { version, device: "PSM1", wall_ns: 1_500_000_000, number: 7 };
            let message = pack(&sender, "STRING", &string("Follow"));
            let (header, content) = message.split_first_chunk::<HEADER>().unwrap();
            let header = Header::of(header).unwrap();
            assert!(header.is("STRING") && !header.is("STRIN") && header.version == version);
            assert_eq!(header.size, u64::try_from(content.len()).unwrap());
            assert!(header.fits(content) && !header.fits(&content[..content.len() - 1]));
            assert!(inner(version, content).unwrap().starts_with(&string("Follow")));
        }
        assert_eq!(time(1_500_000_000), (1 << 32) | (1 << 31));
        assert_eq!(inner(2, &[0xff, 0xff, 1]), None);
    }
}
