//! The robot as ROS 2 nodes, without ROS: what `rmw_zenoh` expects to find on a zenoh network.
//!
//! Knows: keys, tokens and attachments. Does not know: fields (`message`) or their bytes (`cdr`).
//!
//! Each arm is a node shaped like CRTK: `/PSM1/measured_cp`, `measured_js`, `setpoint_cp`,
//! `jaw/measured_js`, `operating_state`; the node `longhand` says `/tf` and `/diagnostics`. No
//! topic is subscribed to and no service is offered: a ROS tool can look and not touch.
//!
//! Source: rmw_zenoh's design; reproduced against a client of ROS 2 that is not ours.

mod cdr;
mod message;

use crate::clock::Every;
use crate::words::View;
use longhand_protocol::geometry::ArmId;
use message::Type;
use std::time::Duration;
use tokio::sync::watch;
use zenoh::Session;
use zenoh::bytes::Encoding;
use zenoh::liveliness::LivelinessToken;
use zenoh::pubsub::Publisher;
use zenoh::qos::{CongestionControl, Priority};

/// How often diagnostics are said: ROS's own tools say them once a second.
pub const DIAGNOSTICS_EVERY: Duration = Duration::from_secs(1);
/// The default of `rmw_zenoh`: reliable, volatile, the last ten.
const QOS: &str = "::,10:,:,:,,";
/// The node that is no arm.
const NODE: &str = "longhand";

/// A node's topics as long as it is there.
struct Topic<'a> {
    kind: Kind,
    publisher: Publisher<'a>,
    gid: [u8; 16],
    sent: i64,
    _token: LivelinessToken,
}

/// What a topic says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Where an arm's tip is.
    MeasuredCp(ArmId),
    /// Where it was told to be.
    SetpointCp(ArmId),
    /// Its six joints.
    MeasuredJs(ArmId),
    /// Its jaw.
    Jaw(ArmId),
    /// CRTK's state.
    OperatingState(ArmId),
    /// Both tips, as frames.
    Tf,
    /// The alarms.
    Diagnostics,
}

impl Kind {
    /// Every one.
    pub const ALL: [Self; 12] = [
        Self::MeasuredCp(ArmId::Psm1),
        Self::SetpointCp(ArmId::Psm1),
        Self::MeasuredJs(ArmId::Psm1),
        Self::Jaw(ArmId::Psm1),
        Self::OperatingState(ArmId::Psm1),
        Self::MeasuredCp(ArmId::Psm2),
        Self::SetpointCp(ArmId::Psm2),
        Self::MeasuredJs(ArmId::Psm2),
        Self::Jaw(ArmId::Psm2),
        Self::OperatingState(ArmId::Psm2),
        Self::Tf,
        Self::Diagnostics,
    ];

    /// Its type.
    pub const fn of(self) -> Type {
        self.named().2
    }

    /// Its node, its name below that, its type.
    const fn named(self) -> (&'static str, &'static str, Type) {
        match self {
            Self::MeasuredCp(arm) => (arm.name(), "measured_cp", Type::PoseStamped),
            Self::SetpointCp(arm) => (arm.name(), "setpoint_cp", Type::PoseStamped),
            Self::MeasuredJs(arm) => (arm.name(), "measured_js", Type::JointState),
            Self::Jaw(arm) => (arm.name(), "jaw/measured_js", Type::JointState),
            Self::OperatingState(arm) => (arm.name(), "operating_state", Type::OperatingState),
            Self::Tf => (NODE, "tf", Type::Tf),
            Self::Diagnostics => (NODE, "diagnostics", Type::Diagnostics),
        }
    }

    /// The topic without its outer slash.
    pub fn topic(self) -> String {
        let (node, name, _) = self.named();
        if node == NODE { name.to_owned() } else { format!("{node}/{name}") }
    }

    /// A message of it: CDR.
    pub fn bytes(self, view: &View, robot: &str) -> Vec<u8> {
        let of = |arm: ArmId| view.record.state.state.arms.get(arm);
        match self {
            Self::MeasuredCp(arm) => message::pose(view, arm, &of(arm).measured_cp),
            Self::SetpointCp(arm) => message::pose(view, arm, &of(arm).setpoint_cp),
            Self::MeasuredJs(arm) => message::joints(view, &of(arm).measured_js),
            Self::Jaw(arm) => message::jaw(view, of(arm)),
            Self::OperatingState(_) => message::operating_state(view),
            Self::Tf => message::tf(view),
            Self::Diagnostics => message::diagnostics(view, robot),
        }
    }
}

/// What readers must be allowed to see of a domain.
pub fn keys(domain: u32) -> [String; 2] {
    [format!("{domain}/**"), format!("@ros2_lv/{domain}/**")]
}

/// Says everything until the views end.
///
/// Errors: the network refuses a declaration.
pub async fn run(
    session: &Session,
    domain: u32,
    robot: &str,
    mut views: watch::Receiver<Option<View>>,
) -> zenoh::Result<()> {
    let (_nodes, mut topics) = declare(session, domain).await?;
    let mut diagnostics = Every::new(DIAGNOSTICS_EVERY);
    while views.changed().await.is_ok() {
        let Some(view) = *views.borrow_and_update() else { continue };
        let is_due = diagnostics.is_due();
        for topic in topics.iter_mut().filter(|topic| is_due || topic.kind != Kind::Diagnostics) {
            topic.say(&view, robot).await?;
        }
    }
    Ok(())
}

async fn declare(
    session: &Session,
    domain: u32,
) -> zenoh::Result<(Vec<LivelinessToken>, Vec<Topic<'_>>)> {
    let zid = session.zid();
    let mut nodes = Vec::new();
    for (number, node) in [ArmId::Psm1.name(), ArmId::Psm2.name(), NODE].into_iter().enumerate() {
        let key = format!("@ros2_lv/{domain}/{zid}/{number}/{number}/NN/%/%/{node}");
        nodes.push(session.liveliness().declare_token(key).await?);
    }
    let mut topics = Vec::new();
    for (entity, kind) in (10_u8..).zip(Kind::ALL) {
        let (node, _, of) = kind.named();
        let number = [ArmId::Psm1.name(), ArmId::Psm2.name(), NODE]
            .into_iter()
            .position(|known| known == node)
            .unwrap_or(0);
        let (topic, of) = (kind.topic(), of.in_key());
        let publisher = session
            .declare_publisher(format!("{domain}/{topic}/{of}"))
            .encoding(Encoding::APPLICATION_CDR)
            .congestion_control(CongestionControl::Drop)
            .priority(Priority::DataLow)
            .await?;
        let mangled = format!("%{}", topic.replace('/', "%"));
        let key =
            format!("@ros2_lv/{domain}/{zid}/{number}/{entity}/MP/%/%/{node}/{mangled}/{of}/{QOS}");
        let token = session.liveliness().declare_token(key).await?;
        // Any sixteen bytes that no other publisher has.
        let mut gid = zid.to_le_bytes();
        if let Some(last) = gid.last_mut() {
            *last ^= entity;
        }
        topics.push(Topic { kind, publisher, gid, sent: 0, _token: token });
    }
    Ok((nodes, topics))
}

impl Topic<'_> {
    async fn say(&mut self, view: &View, robot: &str) -> zenoh::Result<()> {
        const GID_LEN: u8 = 16;
        self.sent = self.sent.saturating_add(1);
        let at = i64::try_from(view.record.wall_ns).unwrap_or(i64::MAX);
        let stamp = self.sent.to_le_bytes().into_iter().chain(at.to_le_bytes());
        let attachment: Vec<u8> = stamp.chain([GID_LEN]).chain(self.gid).collect();
        self.publisher.put(self.kind.bytes(view, robot)).attachment(attachment).await
    }
}
