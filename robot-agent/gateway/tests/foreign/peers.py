"""Programs that are not ours, beside a gateway: each prints what it found as one JSON object.

    peers.py router CONFIG                the PyPI wheel as a router, until standard input closes
    peers.py read CONFIG BASE             an observer: what it hears, is answered and sees alive
    peers.py forge CONFIG KEY...          an observer that publishes all the same
    peers.py refused CONFIG               whoever may not even connect
    peers.py metrics URL                  prometheus_client reads a scrape
    peers.py igtl PORT                    pyigtl reads what OpenIGTLink says
    peers.py foxglove PORT LAYOUT...      websockets and rosbags: every channel, and every path of layouts
    peers.py ros2 PORT DOMAIN             zenoh-ros2-sdk lists the topics and decodes them
"""

import json
import os
import sys
import time


def session(path):
    import zenoh

    return zenoh.open(zenoh.Config.from_file(path))


def router(path):
    with session(path):
        print("routing", file=sys.stderr, flush=True)
        sys.stdin.read()


def read(path, base):
    heard, order = {}, []

    def hear(sample):
        said = json.loads(sample.payload.to_string())
        heard.setdefault(str(sample.key_expr), []).append(said)
        order.append(str(sample.encoding))

    with session(path) as peer:
        kept = peer.declare_subscriber("longhand/**", hear)
        ends = time.monotonic() + 20
        while time.monotonic() < ends and len(heard.get(base + "/state", [])) < 200:
            time.sleep(0.05)
        answers = [json.loads(reply.ok.payload.to_string()) for reply in peer.get("longhand/*/*/*/directory")]
        history = [json.loads(reply.ok.payload.to_string()) for reply in peer.get(base + "/history?last_s=2;every_ms=20")]
        alive = [str(reply.ok.key_expr) for reply in peer.liveliness().get("longhand/**")]
        kept.undeclare()
    states = heard.get(base + "/state", [])
    stamps = [state["robot_us"] for state in states]
    return {
        "keys": sorted(heard),
        "schemas": sorted({one["schema"] for all in heard.values() for one in all}),
        "encodings": sorted(set(order)),
        "robots": sorted({one["robot"] for all in heard.values() for one in all}),
        "states": len(states),
        "rises": all(a < b for a, b in zip(stamps, stamps[1:])),
        "last": states[-1] if states else None,
        "directory": answers,
        "history": [len(answer["states"]) for answer in history],
        "alive": alive,
    }


def forge(path, keys):
    with session(path) as peer:
        for _ in range(50):
            for key in keys:
                peer.put(key, json.dumps({"schema": "forged", "robot": "forged"}))
            time.sleep(0.02)
    return {"forged": 50 * len(keys)}


def refused(path):
    try:
        session(path).close()
    except Exception as error:  # whatever zenoh says, it is no session
        return {"refused": str(error)}
    return {"refused": None}


def metrics(url):
    import urllib.request

    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    with urllib.request.urlopen(url) as answer:
        kind, text = answer.headers["Content-Type"], answer.read().decode()
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if k not in ("hospital", "room", "robot")}
            samples[" ".join([sample.name, *labels.values()])] = sample.value
            samples["of"] = [sample.labels[k] for k in ("hospital", "room", "robot")]
    return {"kind": kind, "samples": samples}


def igtl(port):
    import struct

    import pyigtl

    found = {}

    class AskForTracking(pyigtl.messages.MessageBase):
        """STT_TDATA: every 20 ms, in no named frame."""

        def __init__(self):
            pyigtl.messages.MessageBase.__init__(self, device_name="slicer")
            self._message_type = "STT_TDATA"
            self._valid_message = True
            self.header_version = 2

        def _pack_content(self):
            return struct.pack(">i32s", 20, b"")

    class Tracking(pyigtl.messages.MessageBase):
        """TDATA, which pyigtl does not know; its framing and checksum are pyigtl's all the same."""

        def __init__(self):
            pyigtl.messages.MessageBase.__init__(self)
            self._message_type = "TDATA"
            self._valid_message = True

        def _unpack_content(self, content):
            found["tdata"] = []
            for at in range(0, len(content), 70):
                name, kind = struct.unpack_from(">20sB", content, at)
                found["tdata"].append([name.rstrip(b"\0").decode(), kind])

    pyigtl.messages.message_type_to_class_constructor["TDATA"] = lambda: Tracking()
    client = pyigtl.OpenIGTLinkClient(host="127.0.0.1", port=int(port))
    for _ in range(50):
        for device in ("PSM1", "PSM2", "Longhand"):
            message = client.wait_for_message(device, timeout=5)
            if message is None:
                continue
            entry = found.setdefault(device, {})
            entry.setdefault("versions", [])
            if message.header_version not in entry["versions"]:
                entry["versions"].append(message.header_version)
            kind = message.message_type
            if kind == "TRANSFORM":
                entry[kind] = message.matrix.tolist()
            elif kind == "STRING":
                entry[kind] = message.string
            else:
                entry[kind] = True
        if len(found) >= 3 and all("TRANSFORM" in found[d] for d in ("PSM1", "PSM2")) and "STRING" in found["Longhand"]:
            break
    # It says something of version 2, and is answered in version 2 from then on.
    client.send_message(two(pyigtl.StringMessage("hello", device_name="slicer")), wait=True)
    ends = time.monotonic() + 10
    while time.monotonic() < ends and 2 not in found["PSM1"]["versions"]:
        message = client.wait_for_message("PSM1", timeout=5)
        if message is not None and message.header_version not in found["PSM1"]["versions"]:
            found["PSM1"]["versions"].append(message.header_version)
    # And asks for both tips at once.
    client.send_message(AskForTracking(), wait=True)
    ends = time.monotonic() + 10
    while time.monotonic() < ends and "tdata" not in found:
        client.wait_for_message("Longhand", timeout=5)
    client.stop()
    return found


def ros2(port, domain):
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    from zenoh_ros2_sdk import ROS2Subscriber, ZenohSession, get_topic_info, get_topic_names_and_types
    from zenoh_ros2_sdk.attachment import Attachment

    # Types and hashes are rosbags': nothing of ours is asked.
    store = get_typestore(Stores.ROS2_JAZZY)
    crtk = "std_msgs/Header header\nstring state\nbool is_homed\nbool is_busy\n"
    store.register(get_types_from_msg(crtk, "crtk_msgs/msg/OperatingState"))
    peer = ZenohSession.get_instance("127.0.0.1", int(port))
    peer.store = store
    where = {"domain_id": int(domain), "router_ip": "127.0.0.1", "router_port": int(port)}
    found = {"topics": dict(get_topic_names_and_types(**where, timeout=3))}
    nodes = peer.liveliness.get(f"@ros2_lv/{domain}/*/*/*/NN/**", timeout=3)
    found["nodes"] = sorted(str(reply.ok.key_expr).split("/")[-1] for reply in nodes)
    heard, kept, stamps = {}, [], {}
    for topic, kinds in found["topics"].items():
        peer._registered_types[kinds[0]] = kinds[0]
        kept.append(
            ROS2Subscriber(
                topic,
                kinds[0],
                lambda message, topic=topic: heard.setdefault(topic, message),
                msg_definition="",
                type_hash=store.hash_rihs01(kinds[0]),
                **where,
            )
        )

    def stamp(sample):
        read = Attachment.from_bytes(sample.attachment.to_bytes())
        stamps.setdefault(str(sample.key_expr), []).append((read.sequence_id, read.gid.hex()))

    raw = peer.session.declare_subscriber(f"{domain}/**", stamp)
    ends = time.monotonic() + 20
    while time.monotonic() < ends and len(heard) < len(found["topics"]):
        time.sleep(0.05)
    raw.undeclare()
    pose, joints = heard["/PSM1/measured_cp"], heard["/PSM1/measured_js"]
    state, tf, wrong = heard["/PSM2/operating_state"], heard["/tf"], heard["/diagnostics"]
    runs = list(stamps.values())
    return {
        **found,
        "heard": sorted(heard),
        "position": [getattr(pose.pose.position, axis) for axis in "xyz"],
        "orientation": [getattr(pose.pose.orientation, axis) for axis in "wxyz"],
        "frame": pose.header.frame_id,
        "sec": pose.header.stamp.sec,
        "joints": dict(zip(joints.name, joints.position.tolist())),
        "velocity": joints.velocity.tolist(),
        "jaw": heard["/PSM2/jaw/measured_js"].position.tolist(),
        "state": [state.state, state.is_homed, state.is_busy],
        "tf": [[one.header.frame_id, one.child_frame_id, one.transform.translation.z] for one in tf.transforms],
        "diagnostics": [[one.name, one.level, {pair.key: pair.value for pair in one.values}] for one in wrong.status],
        "counted": all(b[0] == a[0] + 1 for run in runs for a, b in zip(run, run[1:])),
        "publishers": len({gid for run in runs for _, gid in run}),
        "qos": sorted({one.qos for ends in [get_topic_info("/tf", verbose=True, **where)] for one in ends.publishers}),
    }


def foxglove(port, *layouts):
    import asyncio
    import re
    import struct

    import websockets
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    # Nothing of ROS's own: what is advertised must be enough to read what is said.
    store = get_typestore(Stores.EMPTY)
    jazzy = get_typestore(Stores.ROS2_JAZZY)
    heard, found = {}, {}

    async def look():
        address = f"ws://127.0.0.1:{port}"
        async with websockets.connect(address, subprotocols=["foxglove.sdk.v1"], max_size=None) as peer:
            channels = {}
            while len(channels) < 16:
                said = json.loads(await asyncio.wait_for(peer.recv(), 10))
                if said["op"] == "serverInfo":
                    found["name"], found["capabilities"] = said["name"], said["capabilities"]
                for one in said.get("channels", []) if said["op"] == "advertise" else []:
                    channels[one["id"]] = one
            asked = [{"id": key, "channelId": key} for key in channels]
            # A client that wants to publish, and one that calls a service, is not heard.
            await peer.send(json.dumps({"op": "advertise", "channels": [
                {"id": 1, "topic": "/PSM1/servo_cp", "encoding": "json", "schemaName": ""}]}))
            await peer.send(struct.pack("<BI", 1, 1) + b"{}")
            await peer.send(json.dumps({"op": "subscribe", "subscriptions": asked}))
            ends = time.monotonic() + 30
            while time.monotonic() < ends and len(heard) < len(channels):
                said = await asyncio.wait_for(peer.recv(), 10)
                if isinstance(said, str):
                    found.setdefault("told", []).append(json.loads(said).get("message"))
                    continue
                op, key, at = struct.unpack_from("<BIQ", said)
                if op == 1:
                    heard[channels[key]["topic"]] = (channels[key], at, said[13:])

    asyncio.run(look())
    messages, hashes = {}, {}
    for topic, (channel, at, bytes_) in heard.items():
        name = channel["schemaName"]
        if channel["encoding"] == "json":
            messages[topic] = json.loads(bytes_)
            continue
        new = get_types_from_msg(channel["schema"], name)
        store.register({key: kind for key, kind in new.items() if key not in store.types})
        messages[topic] = store.deserialize_cdr(bytes_, name)
        if name in jazzy.types:
            hashes[name] = store.hash_rihs01(name) == jazzy.hash_rihs01(name)

    def resolve(path):
        topic = max((known for known in messages if path == known or path.startswith(known + ".")), key=len, default=None)
        if topic is None:
            return False
        value = messages[topic]
        for part, place in re.findall(r"\.(\w+)(?:\[(\d+)\])?", path[len(topic) :]):
            if not (part in value if isinstance(value, dict) else hasattr(value, part)):
                return False
            value = value[part] if isinstance(value, dict) else getattr(value, part)
            value = value[int(place)] if place else value
        return True

    found["paths"], found["unplaced"] = {}, []
    for path in layouts:
        with open(path) as file:
            layout = json.load(file)
        for panel, config in layout["configById"].items():
            shown = [one["value"] for one in config.get("paths", [])]
            shown += [config[key] for key in ("path", "topicPath", "topicToRender") if key in config]
            shown += list(config.get("topics", []))
            found["paths"].update({one: resolve(one) for one in shown})
            found["unplaced"] += [] if shown and json.dumps(panel) in json.dumps(layout["layout"]) else [panel]
        found["unplaced"] += [leaf for leaf in leaves(layout["layout"]) if leaf not in layout["configById"]]
    tip = messages["/PSM1/measured_cp"].pose.position
    return {
        **found,
        "topics": sorted(messages),
        "hashes": hashes,
        "stage": messages["/longhand/stage"]["stage"],
        "tip": [tip.x, tip.y, tip.z],
        "said_tip": messages["/longhand/state"]["psm1"]["measured_cp"]["position"],
        "times": all(at > 1_700_000_000_000_000_000 for _, at, _ in heard.values()),
    }


def leaves(tree):
    return [tree] if isinstance(tree, str) else leaves(tree["first"]) + leaves(tree["second"])


def two(message):
    message.header_version = 2
    return message


def main():
    what, *rest = sys.argv[1:]
    if what == "forge":
        found = forge(rest[0], rest[1:])
    else:
        do = {"router": router, "read": read, "refused": refused, "metrics": metrics, "igtl": igtl, "ros2": ros2, "foxglove": foxglove}
        found = do[what](*rest)
    print(json.dumps(found), flush=True)
    # zenoh-ros2-sdk keeps threads that nobody can end.
    os._exit(0)


main()
