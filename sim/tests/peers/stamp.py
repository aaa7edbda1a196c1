"""A STAMP sender of scapy's: sends twenty packets to 127.0.0.1:PORT, prints what came back."""

import json
import socket
import sys
import time

from scapy.contrib.stamp import (
    STAMPSessionReflectorTestUnauthenticated as Answer,
    STAMPSessionSenderTestUnauthenticated as Question,
)

# Between 1900, where NTP's seconds begin, and 1970.
ERA = 2208988800

sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.settimeout(5)
sender.connect(("127.0.0.1", int(sys.argv[1])))


def seconds(answer, name):
    """A time of an answer, seconds since 1970."""
    return float(answer.get_field(name).i2h(answer, answer.getfieldval(name))) - ERA


told = []
for number in range(100, 120):
    sent = time.time()
    sender.send(bytes(Question(seq=number, ts=sent + ERA, ssid=7)))
    packet = sender.recv(2048)
    came = time.time()
    answer = Answer(packet)
    told.append(
        {
            "sent": sent,
            "came": came,
            "bytes": len(packet),
            "seq": answer.seq,
            "ts": seconds(answer, "ts"),
            "ssid": answer.ssid,
            "ts_rx": seconds(answer, "ts_rx"),
            "seq_sender": answer.seq_sender,
            "ts_sender": seconds(answer, "ts_sender"),
            "ttl_sender": answer.ttl_sender,
        }
    )
print(json.dumps(told))
