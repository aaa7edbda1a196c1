"""The vendors' own SDKs drive the stand-in servos: `drive.py so101|dynamixel PORT`. Prints JSON.

Knows: how a user of each SDK would do it. Does not know: our code.
"""

import json
import sys
import time


def feetech(port):
    import scservo_sdk as scs

    wire, h = scs.PortHandler(port), scs.PacketHandler(0)
    assert wire.openPort() and wire.setBaudRate(1_000_000)
    found = [i for i in range(10) if h.ping(wire, i)[1] == scs.COMM_SUCCESS]
    model = h.ping(wire, 1)[0]
    for servo in found:
        assert h.write1ByteTxRx(wire, servo, 40, 1) == (0, 0)
    goals = {servo: 2048 + 50 * servo for servo in found}
    write = scs.GroupSyncWrite(wire, h, 42, 2)
    for servo, goal in goals.items():
        write.addParam(servo, [goal & 0xFF, goal >> 8])
    assert write.txPacket() == scs.COMM_SUCCESS
    time.sleep(1.5)
    read = scs.GroupSyncRead(wire, h, 56, 8)
    for servo in found:
        read.addParam(servo)
    assert read.txRxPacket() == scs.COMM_SUCCESS
    # Its registers: one is written while unlocked, and read again.
    assert h.write1ByteTxRx(wire, 3, 55, 0) == (0, 0)
    assert h.write2ByteTxRx(wire, 3, 9, 100) == (0, 0)
    return {
        "found": found,
        "model": model,
        "positions": [read.getData(servo, 56, 2) for servo in found],
        "goals": list(goals.values()),
        "volts": read.getData(1, 62, 1) / 10,
        "limit": h.read2ByteTxRx(wire, 3, 9)[0],
    }


def dynamixel(port):
    import dynamixel_sdk as dxl

    wire, h = dxl.PortHandler(port), dxl.PacketHandler(2.0)
    assert wire.openPort() and wire.setBaudRate(1_000_000)
    everybody, result = h.broadcastPing(wire)
    assert result == dxl.COMM_SUCCESS
    found = sorted(everybody)
    for servo in found:
        assert h.write1ByteTxRx(wire, servo, 64, 1) == (0, 0)
    goals = {servo: 2048 + 50 * (servo - 10) for servo in found}
    write = dxl.GroupSyncWrite(wire, h, 116, 4)
    for servo, goal in goals.items():
        write.addParam(servo, list(goal.to_bytes(4, "little")))
    assert write.txPacket() == dxl.COMM_SUCCESS
    time.sleep(1.5)
    read = dxl.GroupSyncRead(wire, h, 132, 4)
    for servo in found:
        read.addParam(servo)
    assert read.txRxPacket() == dxl.COMM_SUCCESS
    positions = [read.getData(servo, 132, 4) for servo in found]
    assert read.fastSyncRead() == dxl.COMM_SUCCESS
    fast = [read.getData(servo, 132, 4) for servo in found]
    # The watchdog stops a servo that hears nothing for 40 ms, and says so.
    assert h.write1ByteTxRx(wire, 11, 98, 2) == (0, 0)
    time.sleep(0.3)
    refused = h.write4ByteTxRx(wire, 11, 116, 2048)
    watchdog = h.read1ByteTxRx(wire, 11, 98)[0]
    rebooted = h.reboot(wire, 11)
    return {
        "found": found,
        "model": everybody[11][0],
        "positions": positions,
        "fast": fast,
        "goals": list(goals.values()),
        "volts": h.read2ByteTxRx(wire, 12, 144)[0] / 10,
        "refused": list(refused),
        "watchdog": watchdog,
        "rebooted": list(rebooted),
        "torque": h.read1ByteTxRx(wire, 11, 64)[0],
    }


print(json.dumps({"so101": feetech, "dynamixel": dynamixel}[sys.argv[1]](sys.argv[2])))
