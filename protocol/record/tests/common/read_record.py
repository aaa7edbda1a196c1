"""Reads a record with programs that are not ours, and says what it found as one JSON object.

Needs `mcap`, `mcap-ros2-support` and `rosbags`; `record_process.rs` of either end installs them by
name. Called with the file and what the names of its topics begin with.
"""

import json
import sys
from pathlib import Path

from mcap.reader import NonSeekingReader, make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.highlevel import AnyReader

# Of the robot's ticks, and of the console's.
LENGTHS = {"psm1_measured_js": 6, "psm2_setpoint_cp": 7, "psm1_hand_cp": 7}


def count(messages):
    topics, ticks, stages, commands = {}, [], [], 0
    for topic, message in messages:
        assert topic.startswith(prefix), topic
        topic = topic.removeprefix(prefix)
        topics[topic] = topics.get(topic, 0) + 1
        if topic == "tick":
            ticks.append(int(message.tick))
            for name, length in LENGTHS.items():
                assert len(getattr(message, name, [0] * length)) == length, name
        if topic == "transition":
            stages.append(str(message.stage))
        if topic == "command":
            assert len(message.wire) == 204 and int(message.number) > commands
            commands = int(message.number)
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks))), "ticks are missing"
    return {"topics": topics, "first": ticks[0], "last": ticks[-1], "stages": stages}


def by_mcap(path, reader):
    with open(path, "rb") as stream:
        assert reader(stream).get_header().profile == "ros2"
    with open(path, "rb") as stream:
        # A reader that does not seek answers one question.
        found = reader(stream, decoder_factories=[DecoderFactory()])
        return count((c.topic, d) for _, c, _, d in found.iter_decoded_messages())


def by_rosbags(path):
    with AnyReader([Path(path)]) as reader:
        messages = reader.messages()
        return count((c.topic, reader.deserialize(raw, c.msgtype)) for c, _, raw in messages)


record, prefix = sys.argv[1:]
print(json.dumps({
    "mcap_seeking": by_mcap(record, make_reader),
    "mcap_streaming": by_mcap(record, NonSeekingReader),
    "rosbags": by_rosbags(record),
}))
