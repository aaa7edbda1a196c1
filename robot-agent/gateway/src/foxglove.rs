//! A live server for Foxglove: the robot's arms, link and alarms as they are, on a screen.
//!
//! Knows: which channels there are and when something is said on them. Does not know: their bytes:
//! the arms are the ROS 2 messages of `ros2`, the rest the words that zenoh carries.
//!
//! It offers no service, no parameter and no channel to publish on: a client can look. For each
//! client the newest messages wait and the oldest go; what nobody looks at is not made.

use crate::clock::Every;
use crate::room::{PUBLISHED, Room};
use crate::ros2::{DIAGNOSTICS_EVERY, Kind};
use crate::words::View;
use foxglove::{ChannelBuilder, Context, FoxgloveError, PartialMetadata, RawChannel, Schema};
use foxglove::{WebSocketServer, WebSocketServerHandle};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// Messages that may wait for one client; more, and the oldest go. Chosen: a quarter of a second of
/// every channel, so that a screen that stood still goes on with the present.
const BACKLOG: usize = 400;
/// Any object: the fields stand in `OUTSIDE.md`.
const OBJECT: &[u8] = br#"{"type":"object","additionalProperties":true}"#;

/// What a channel says.
#[derive(Clone, Copy)]
enum Said {
    Ros(Kind),
    Words(&'static str),
}

/// Binds, and says where; it serves as long as the process lives.
///
/// Errors: the address is not to be had, or a channel is refused.
pub async fn serve(
    address: SocketAddr,
    room: Room,
    views: watch::Receiver<Option<View>>,
) -> Result<SocketAddr, FoxgloveError> {
    let context = Context::new();
    let mut channels = Vec::new();
    for kind in Kind::ALL {
        let schema = Schema::new(kind.of().name(), "ros2msg", kind.of().definition().as_bytes());
        let channel = ChannelBuilder::new(format!("/{}", kind.topic()))
            .context(&context)
            .message_encoding("cdr")
            .schema(schema)
            .build_raw()?;
        channels.push((Said::Ros(kind), channel));
    }
    for name in PUBLISHED {
        let channel = ChannelBuilder::new(format!("/longhand/{name}"))
            .context(&context)
            .message_encoding("json")
            .schema(Schema::new(format!("longhand {name} v1"), "jsonschema", OBJECT))
            .build_raw()?;
        channels.push((Said::Words(name), channel));
    }
    let host = match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    };
    let server: WebSocketServerHandle = WebSocketServer::new()
        .name(room.base())
        .bind(host, address.port())
        .context(&context)
        .message_backlog_size(BACKLOG)
        .start()
        .await?;
    let bound = SocketAddr::new(address.ip(), server.port());
    tokio::spawn(async move {
        // Channels are there as long as their context.
        let _kept = (context, server);
        say(channels, room, views).await;
    });
    Ok(bound)
}

async fn say(
    channels: Vec<(Said, Arc<RawChannel>)>,
    room: Room,
    mut views: watch::Receiver<Option<View>>,
) {
    let mut diagnostics = Every::new(DIAGNOSTICS_EVERY);
    while views.changed().await.is_ok() {
        let Some(view) = *views.borrow_and_update() else { continue };
        let is_due = diagnostics.is_due();
        let at = PartialMetadata::with_log_time(view.record.wall_ns);
        for (said, channel) in &channels {
            if !channel.has_sinks() {
                continue;
            }
            let bytes = match said {
                Said::Ros(Kind::Diagnostics) if !is_due => continue,
                Said::Ros(kind) => kind.bytes(&view, &room.place.robot),
                Said::Words(name) => room.words(name, &view),
            };
            channel.log_with_meta(&bytes, at);
        }
    }
}
