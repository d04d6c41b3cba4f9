# Run inside a sandbox by tests/integration/restricted.test.mjs: does what each line of JSON says,
# all at once, and prints what came of each. "yes": an answer came; else why not.
import concurrent.futures
import json
import os
import socket
import struct
import sys

PATIENCE_S = float(os.environ.get("PATIENCE_S", "10"))


def tcp(address, port):
    with socket.create_connection((address, port), PATIENCE_S) as link:
        link.sendall(b"hello")
        return link.recv(5) == b"hello"


def connect(address, port):
    socket.create_connection((address, port), PATIENCE_S).close()
    return True


def udp(address, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(PATIENCE_S)
        link.sendto(b"hello", (address, port))
        return link.recv(5) == b"hello"


def ping(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as link:
        link.settimeout(PATIENCE_S)
        link.sendto(struct.pack("!BBHHH", 8, 0, 0, 1, 1), (address, 0))
        return len(link.recv(64)) > 0


# As a neighbour would: from an address that is not ours.
def borrowed(source, address, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(PATIENCE_S)
        link.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
        link.bind((source, 0))
        link.sendto(b"hello", (address, port))
        return link.recv(5) == b"hello"


def raw(family, kind, protocol):
    socket.socket(getattr(socket, family), getattr(socket, kind), protocol).close()
    return True


def six(address, port):
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as link:
        link.settimeout(PATIENCE_S)
        link.connect((address, port))
        return True


def name(host):
    return sorted({found[4][0] for found in socket.getaddrinfo(host, None, socket.AF_INET)})


# A question of that type, to any server: the answer's code and how many records it has.
def question(server, host, kind, over="udp"):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in host.split("."))
    packet = os.urandom(2) + b"\1\0\0\1\0\0\0\0\0\0" + labels + b"\0" + struct.pack("!HH", kind, 1)
    if over == "tcp":
        with socket.create_connection((server, 53), PATIENCE_S) as link:
            link.sendall(struct.pack("!H", len(packet)) + packet)
            reply = link.recv(512)[2:]
    else:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.settimeout(PATIENCE_S)
            link.sendto(packet, (server, 53))
            reply = link.recv(512)
    return {"code": reply[3] & 15, "records": struct.unpack("!H", reply[6:8])[0]}


def attempt(probe):
    try:
        return globals()[probe[0]](*probe[1:])
    except OSError as error:
        return type(error).__name__


probes = json.loads(sys.stdin.read())
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    print(json.dumps(list(pool.map(attempt, probes))))
