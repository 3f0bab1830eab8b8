# SPDX-License-Identifier: GPL-3.0-or-later
"""stun_ask.py [--fingerprint] [--count N] [--raw HEX] [--ip-options] HOST:PORT
stun_ask.py --vlan ID --mac OF-SERVER --interface NAME --from HOST:PORT HOST:PORT

Ask a STUN server from one socket at which address it sees us, and read the answer by this file alone:
it shares nothing with the relay.  Prints a line of JSON: "local" port, "seen" one [address, port] for
each answer, "answers" their bytes in hex, "bad" what was wrong with one; and with --vlan, which sends
a frame by itself, "tags".
"""
import argparse
import ipaddress
import json
import os
import socket
import struct
import zlib

COOKIE = 0x2112A442
WAIT_SEC = 1.0


def request(fingerprint):
    attributes = 8 if fingerprint else 0
    message = struct.pack("!HHI", 1, attributes, COOKIE) + os.urandom(12)
    if fingerprint:
        message += struct.pack("!HHI", 0x8028, 4, zlib.crc32(message) ^ 0x5354554E)
    return message


def read(message, asked, fingerprint):
    """[address, port], or ValueError that says what is wrong."""
    def need(condition, what):
        if not condition:
            raise ValueError(f"{what}: {message.hex()}")

    need(len(message) >= 20, "cut short")
    kind, length, cookie = struct.unpack("!HHI", message[:8])
    need(kind == 0x0101 and cookie == COOKIE and length == len(message) - 20, "header")
    need(message[8:20] == asked[8:20], "transaction")
    at, found, fingerprints = 20, None, 0
    while at < len(message):
        name, size = struct.unpack("!HH", message[at:at + 4])
        value = message[at + 4:at + 4 + size]
        need(len(value) == size, "attribute")
        if name == 0x0020:
            port = struct.unpack("!H", value[2:4])[0] ^ COOKIE >> 16
            key = message[4:8] if value[1] == 1 else message[4:20]
            need(len(value) == 4 + len(key) and value[0] == 0, "address")
            packed = bytes(a ^ b for a, b in zip(value[4:], key))
            found = [str(ipaddress.ip_address(packed)), port]
        elif name == 0x8028:
            fingerprints += 1
            need(at + 8 == len(message), "FINGERPRINT is not the last")
            need(struct.unpack("!I", value)[0] == zlib.crc32(message[:at]) ^ 0x5354554E, "CRC")
        else:
            need(False, f"attribute {name:#06x}")
        at += 4 + (size + 3 & ~3)
    need(at == len(message) and found, "attributes")
    need(fingerprints == fingerprint, "FINGERPRINT")
    return found


def ask_tagged(args, host, port, asked):
    """The payload and the tag of the answer to one frame of a VLAN; IPv4."""
    auxdata, solicited = 8, 263    # PACKET_AUXDATA, SOL_PACKET
    source, _, sport = args.source.rpartition(":")
    udp = struct.pack("!HHHH", int(sport), port, 8 + len(asked), 0) + asked
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
                     socket.inet_aton(source), socket.inet_aton(host))
    total = sum(struct.unpack("!10H", ip))
    total = (total & 0xffff) + (total >> 16)
    ip = ip[:10] + struct.pack("!H", ~total & 0xffff) + ip[12:]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as one:
        one.bind((args.interface, 0))
        one.setsockopt(solicited, auxdata, 1)
        one.settimeout(5)
        own = one.getsockname()[4]
        one.send(bytes.fromhex(args.mac.replace(":", "")) + own
                 + struct.pack("!HHH", 0x8100, args.vlan, 0x0800) + ip + udp)
        while True:
            frame, extra, _, _ = one.recvmsg(2048, 256)
            tag = next((struct.unpack("IIIHHHH", data)[5] for _, kind, data in extra
                        if kind == auxdata), 0)
            if frame[12:14] == b"\x81\0":
                tag, frame = struct.unpack("!H", frame[14:16])[0], frame[:12] + frame[16:]
            if frame[:6] == own and frame[23:24] == b"\x11" and frame[26:30] == ip[16:20]:
                return frame[42:14 + struct.unpack("!H", frame[16:18])[0]], tag


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fingerprint", action="store_true")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--raw", help="bytes to send instead, in hex")
    parser.add_argument("--ip-options", action="store_true", help="IPv4: a no-operation option")
    parser.add_argument("--vlan", type=int)
    parser.add_argument("--mac")
    parser.add_argument("--interface")
    parser.add_argument("--from", dest="source")
    parser.add_argument("server")
    args = parser.parse_args()
    host, _, port = args.server.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    said = {"seen": [], "answers": [], "bad": []}
    if args.vlan:
        asked = request(args.fingerprint)
        answer, tag = ask_tagged(args, host, int(port), asked)
        said.update(seen=[read(answer, asked, args.fingerprint)], tags=[tag])
        print(json.dumps(said))
        return
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        if args.ip_options:
            one.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\1\1\1\0")
        one.connect((host, int(port)))
        one.settimeout(WAIT_SEC)
        said["local"] = one.getsockname()[:2]
        asked = []
        for _ in range(args.count):
            asked.append(bytes.fromhex(args.raw) if args.raw else request(args.fingerprint))
            one.send(asked[-1])
        try:
            while len(said["answers"]) < args.count:
                answer = one.recv(2048)
                said["answers"].append(answer.hex())
                of = next((a for a in asked if a[8:20] == answer[8:20]), asked[0])
                try:
                    said["seen"].append(read(answer, of, args.fingerprint))
                except ValueError as error:
                    said["bad"].append(str(error))
        except TimeoutError:
            pass
    print(json.dumps(said))


if __name__ == "__main__":
    main()
