"""What the vendors' own SDKs say and understand. Needs dynamixel-sdk and feetech-servo-sdk (PyPI).

    bytes.py say                  the bytes of each request, and the register tables, as JSON
    bytes.py hear < answers.json  what the SDKs read out of answers that we wrote, as JSON

Knows: how to stand in for a port. Does not know: our code.
"""

import glob
import json
import os
import sys

import dynamixel_easy_sdk
import dynamixel_sdk as dxl
import scservo_sdk as scs

# Data that needs byte stuffing, and data beside it that does not.
DATA = [
    [1],
    [0, 8, 0, 0],
    [0xFF, 0xFF, 0xFD],
    [0xFF, 0xFF, 0xFD, 0xFD],
    [0xFF, 0xFF, 0xFD, 0x00, 0xFF, 0xFF, 0xFD],
    [0xFF, 0xFF, 0xFF, 0xFD, 0xFD],
    [0xFD, 0xFF, 0xFF, 0xFC],
    [0xFF] * 8,
]
MODELS = ["xm430_w350", "xl430_w250", "xl330_m288", "xl330_m077"]


class Port:
    """A port whose other end is two lists."""

    def __init__(self, answer=b""):
        self.is_using = False
        self.said, self.answer = [], list(answer)

    def clearPort(self):
        pass

    def writePort(self, packet):
        self.said.extend(packet)
        return len(packet)

    def readPort(self, length):
        taken, self.answer = self.answer[:length], self.answer[length:]
        return taken

    def setPacketTimeout(self, _bytes):
        pass

    def setPacketTimeoutMillis(self, _ms):
        pass

    def isPacketTimeout(self):
        return not self.answer

    def getBaudRate(self):
        return 1_000_000


def said(act):
    port = Port()
    act(port)
    return bytes(port.said).hex()


class Stuffing(dxl.Protocol2PacketHandler):
    """ROBOTIS' own stuffing, used. In 4.1.0 `addStuffing` returns a new list and `txPacket` goes on
    with the old one, so that FF FF FD goes out as it is, against the protocol."""

    def addStuffing(self, packet):
        packet[:] = super().addStuffing(packet)
        return packet


def reads(h, spans):
    for number, address, length in spans:
        fields = {"id": number, "address": address, "length": length}
        yield "read", fields, said(lambda p: h.readTx(p, number, address, length))


def writes(h, address):
    for data in DATA:
        fields = {"id": 7, "address": address, "data": data}
        yield "write", fields, said(lambda p: h.writeTxOnly(p, 7, address, len(data), data))
        act = lambda p: h.regWriteTxOnly(p, 7, address, len(data), data)
        yield "write later", fields, said(act)
        fields = {"address": address, "length": len(data), "rows": [[3, data], [4, data]]}
        rows = [3, *data, 4, *data]
        act = lambda p: h.syncWriteTxOnly(p, address, len(data), rows, len(rows))
        yield "sync write", fields, said(act)


def dynamixel():
    h = Stuffing()
    for number in (0, 1, 252):
        yield "ping", {"id": number}, said(lambda p: h.ping(p, number))
        yield "reboot", {"id": number}, said(lambda p: h.reboot(p, number))
    yield "ping", {}, said(lambda p: h.broadcastPing(p))
    yield "action", {}, said(lambda p: h.action(p, 254))
    yield from reads(h, ((1, 132, 4), (11, 0, 147), (252, 0xFFFD, 1)))
    yield from writes(h, 116)
    for ids in ([1], [1, 2, 3, 4, 5, 6], [0xFC, 0xFB]):
        fields = {"address": 132, "length": 4, "ids": ids}
        for fast, name in ((False, "sync read"), (True, "fast sync read")):
            yield name, fields, said(lambda p: h.syncReadTx(p, 132, 4, ids, len(ids), fast))


def feetech():
    h = scs.PacketHandler(0)
    for number in (0, 1, 252):
        yield "ping", {"id": number}, said(lambda p: h.ping(p, number))
    yield "action", {}, said(lambda p: h.action(p, 254))
    yield from reads(h, ((1, 56, 2), (6, 0, 71), (252, 255, 1)))
    yield from writes(h, 42)
    for ids in ([1], [1, 2, 3, 4, 5, 6], [0xFC, 0xFB]):
        fields = {"address": 56, "length": 2, "ids": ids}
        yield "sync read", fields, said(lambda p: h.syncReadTx(p, 56, 2, ids, len(ids)))


def table(model):
    folder = os.path.join(os.path.dirname(dynamixel_easy_sdk.__file__), "control_table")
    (path,) = glob.glob(os.path.join(folder, f"{model}.model"))
    rows = open(path, encoding="utf-8").read().split("[control table]")[1].strip().splitlines()
    rows = [row.split("\t") for row in rows[1:]]
    return {name.strip(): [int(address), int(size)] for address, size, name in rows}


def say():
    requests = [
        {"protocol": protocol, "what": what, "bytes": raw, **fields}
        for protocol, of in (("dynamixel", dynamixel()), ("feetech", feetech()))
        for what, fields, raw in of
    ]
    lines = ",\n".join("  " + json.dumps(request) for request in requests)
    tables = ",\n".join(f'  "{m}": ' + json.dumps(table(m)) for m in MODELS)
    print('{"requests": [\n' + lines + '\n],\n"tables": {\n' + tables + "\n}}")


def heard(answer):
    port = Port(bytes.fromhex(answer["bytes"]))
    if answer["protocol"] == "feetech":
        data, result, error = scs.PacketHandler(0).readRx(port, answer["id"], answer["length"])
    elif "ids" in answer:
        read = dxl.GroupSyncRead(port, dxl.PacketHandler(2.0), 132, answer["length"])
        for number in answer["ids"]:
            read.addParam(number)
        result, error = read.fastSyncReadRxPacket(), 0
        data = [list(read.data_dict[number]) for number in answer["ids"]]
    else:
        handler = dxl.PacketHandler(2.0)
        data, result, error = handler.readRx(port, answer["id"], answer["length"])
    return {"good": result == 0, "data": list(data), "error": error}


if sys.argv[1] == "say":
    say()
else:
    print(json.dumps([heard(answer) for answer in json.load(sys.stdin)]))
