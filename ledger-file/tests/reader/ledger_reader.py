#!/usr/bin/env python3
"""Prints the entries and checkpoints of a ledger log as JSON lines.

Written from docs/FORMAT.md alone, with nothing but the standard library: it shows that the format can be read without
the library that writes it. It reads whole segments into memory and checks every checksum; it does not use the indexes.

    ledger_reader.py DIRECTORY [--now MICROSECONDS]

An entry that has expired at `--now` (by default: none has) is printed as a tombstone. Payloads and the values of
checkpoints are printed as hexadecimal digits.
"""

import argparse
import fcntl
import json
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path

FORMAT = 1
MANIFEST_FORMAT = 2
SEGMENT_HEADER_BYTES = 64
PACKED_BLOCK_BYTES = 16384
PACKED_BLOCK_HEADER_BYTES = 16
FRAME_HEADER_BYTES = 8
FRAME_ALIGNMENT = 8
STAGE_PAGE_BYTES = 4096
BODY_TAG = 0xA0


class Damaged(Exception):
    """The log is not what it should be."""


# Checksums, numbers, compression.


def crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ 0x82F63B78 if byte & 1 else byte >> 1
        table.append(byte)
    return table


CRC_TABLE = crc_table()


def crc(data):
    """CRC-32C."""
    value = 0xFFFFFFFF
    for byte in data:
        value = CRC_TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def wrapped(value):
    """A sum of times, as 64 bits hold it."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def lz4_block(block, length):
    """The `length` bytes that an LZ4 block holds."""
    out = bytearray()
    source = Input(block)

    def long_length(nibble):
        total = nibble
        while nibble == 15:
            byte = source.number(1)
            total += byte
            nibble = 15 if byte == 255 else 0
        return total

    while source:
        token = source.number(1)
        out += source.take(long_length(token >> 4))
        if not source:
            break
        distance = source.number(2)
        if not 0 < distance <= len(out):
            raise Damaged("what is compressed refers to nothing")
        for _ in range(long_length(token & 15) + 4):
            out.append(out[-distance])
    if len(out) != length:
        raise Damaged("what is compressed has another length")
    return bytes(out)


class Input:
    """Bytes of which fields are taken from the front."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def __bool__(self):
        return self.at < len(self.data)

    def take(self, length):
        taken = self.data[self.at : self.at + length]
        if len(taken) != length:
            raise Damaged("the bytes end within a field")
        self.at += length
        return bytes(taken)

    def rest(self):
        return self.take(len(self.data) - self.at)

    def number(self, size):
        return int.from_bytes(self.take(size), "little")

    def varint(self):
        value = shift = 0
        while True:
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >> 64 or (byte == 0 and shift):
                    raise Damaged("a number is not in its only form")
                return value
            shift += 7

    def signed(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def bytes(self):
        return self.take(self.varint())

    def text(self):
        return self.bytes().decode("utf-8")


def texts(data):
    """The texts that stand one after another in `data`."""
    source = Input(data)
    while source:
        yield source.text()


def pairs(data):
    items = list(texts(data))
    return dict(zip(items[::2], items[1::2], strict=True))


def ids(data):
    source, last = Input(data), 0
    while source:
        last += source.varint()
        yield last


# The files.


def check_header(source, magic, what, newest=FORMAT):
    if source.take(8) != magic:
        raise Damaged(f"this is no {what}")
    version = source.number(4)
    if version > newest:
        raise Damaged(f"the {what} has format {version}")


@dataclass
class Meta:
    """A segment, as the manifest tells of it."""

    segment: int
    generation: int
    sealed_bytes: int | None
    packed_bytes: int | None

    def name(self):
        extension = "segment" if self.packed_bytes is None else "packed"
        return f"{self.segment:08x}-{self.generation:016x}.{extension}"


def read_manifest(path):
    data = path.read_bytes()
    if crc(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise Damaged("the manifest has another checksum")
    source = Input(data[:-4])
    check_header(source, b"LEDGERMF", "manifest", MANIFEST_FORMAT)
    log_id = source.take(16)
    source.take(8 + 8 + 8)
    segments = [read_meta(source) for _ in range(source.number(4))]
    return log_id, segments


def read_meta(source):
    segment, generation, flags, sealed_bytes = (source.number(size) for size in (4, 8, 1, 4))
    packed_bytes = source.number(4) if flags & 4 else None
    source.take(8 * source.number(4))
    return Meta(segment, generation, sealed_bytes if flags & 2 else None, packed_bytes)


class Segment:
    """The bytes of a segment file, and what its frames are checked by."""

    def __init__(self, directory, meta, log_id):
        self.meta = meta
        self.data = bytearray((directory / meta.name()).read_bytes())
        header = self.data[:SEGMENT_HEADER_BYTES]
        if crc(header[:60]) != int.from_bytes(header[60:], "little"):
            raise Damaged(f"the header of {meta.name()} has another checksum")
        source = Input(header)
        check_header(source, b"LEDGERSG" if meta.packed_bytes is None else b"LEDGERPK", "segment")
        found = (source.take(16), source.number(4), source.number(8))
        if found != (log_id, meta.segment, meta.generation):
            raise Damaged(f"{meta.name()} is another segment")
        self.created_at = struct.unpack("<q", source.take(8))[0]
        if meta.packed_bytes is not None:
            self.data = bytearray(header) + unpacked(self.data[: meta.packed_bytes], meta)

    def position(self, offset):
        return self.meta.segment << 32 | offset

    def body(self, data, at, offset):
        """The body of the frame at `data[at:]` that belongs to `offset` of the segment; none if there is no such frame."""
        header = data[at : at + FRAME_HEADER_BYTES]
        if len(header) < FRAME_HEADER_BYTES:
            return None
        checksum, length = struct.unpack("<II", header)
        body = data[at + FRAME_HEADER_BYTES : at + FRAME_HEADER_BYTES + length]
        if length == 0 or length % FRAME_ALIGNMENT or len(body) != length:
            return None
        place = struct.pack("<QQQ", self.meta.generation, self.position(offset), length)
        return bytes(body) if crc(body) ^ crc(place) == checksum else None

    def overlay(self, area, offset):
        """Lays the valid frames of the stage over the segment from `offset` on."""
        at = 0
        while (body := self.body(area, at, offset + at)) is not None:
            at += FRAME_HEADER_BYTES + len(body)
        self.data[offset : offset + at] = area[:at]

    def frames(self, end):
        """The frames before the position `end`: offset and body of each."""
        offset = SEGMENT_HEADER_BYTES
        while offset != self.meta.sealed_bytes and self.position(offset) < end:
            body = self.body(self.data, offset, offset)
            if body is None:
                if self.meta.sealed_bytes is not None:
                    raise Damaged(f"segment {self.meta.segment} is damaged at offset {offset}")
                return
            yield offset, body
            offset += FRAME_HEADER_BYTES + len(body)


def unpacked(data, meta):
    """What the file of a packed segment holds behind the header of the segment."""
    file_crc = crc(struct.pack("<QI", meta.generation, meta.segment))
    count = -(-meta.sealed_bytes // PACKED_BLOCK_BYTES)
    table = data[-4 * count - 8 :]
    *starts, length, checksum = struct.unpack(f"<{count + 2}I", table)
    if crc(table[:-4]) ^ file_crc != checksum or length != meta.sealed_bytes:
        raise Damaged(f"the table of {meta.name()} is damaged")
    out = bytearray()
    for start, end in zip(starts, starts[1:] + [len(data) - len(table)]):
        block = data[start:end]
        checksum, stored, offset, length = struct.unpack("<IIII", block[:PACKED_BLOCK_HEADER_BYTES])
        content = block[PACKED_BLOCK_HEADER_BYTES:]
        if crc(block[4:]) ^ file_crc != checksum or stored != len(content):
            raise Damaged(f"a block of {meta.name()} is damaged")
        if offset != SEGMENT_HEADER_BYTES + len(out):
            raise Damaged(f"a block of {meta.name()} is another one")
        out += content if stored == length else lz4_block(content, length)
    return out


class Stage:
    """What the stage says: where its frames belong, and how far readers may look."""

    def __init__(self, path, log_id):
        data = path.read_bytes() if path.exists() else b""
        page, self.area = data[:STAGE_PAGE_BYTES].ljust(STAGE_PAGE_BYTES, b"\0"), data[STAGE_PAGE_BYTES:]
        if page[:8] != b"LEDGERST" or crc(page[:40]) != int.from_bytes(page[40:48], "little"):
            page = bytes(STAGE_PAGE_BYTES)  # What a loss of power has left.
        elif page[16:32] != log_id:
            raise Damaged("the stage is that of another log")
        self.words = struct.unpack("<512Q", page)
        slots = (self.slot(log_id, at) for at in (8, 16))
        self.base = max((slot for slot in slots if slot), default=(0, None))[1]

    def slot(self, log_id, at):
        base, sequence, checksum = self.words[at : at + 3]
        if crc(log_id + struct.pack("<QQ", base, sequence)) == checksum:
            return sequence, base
        return None

    def end(self, is_written):
        """The position up to which readers may look."""
        value, other = self.words[24:26]
        kept = value ^ other == 0x5555555555555555
        if kept and value > 1:
            return value
        if kept and value == 0 and not is_written:
            raise Damaged("a sync has failed when the log was opened: it must be opened to be written")
        if not is_written or value == other == 0:
            return 1 << 64
        if value ^ other != (1 << 64) - 1:
            raise Damaged("the page of the stage is being written: try again")
        return value


def is_locked(path):
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def read_segments(directory):
    """The segments with the stage laid over them, and the position at which the log ends."""
    log_id, metas = read_manifest(directory / "MANIFEST")
    segments = [Segment(directory, meta, log_id) for meta in metas]
    stage = Stage(directory / "STAGE", log_id)
    for segment in segments:
        if stage.base is not None and stage.base >> 32 == segment.meta.segment:
            segment.overlay(stage.area, stage.base & 0xFFFFFFFF)
    return segments, stage.end(is_locked(directory / "LOCK"))


# What the records mean.


@dataclass
class Entry:
    """An entry as it lies in the log, with what marks have changed."""

    recorded_at: int
    is_tombstone: bool = False
    payload: bytes = b""
    content_type: str = "application/octet-stream"
    schema_version: int = 1
    kind: str | None = None
    order_key: str | None = None
    dedup_key: str | None = None
    expires_at: int | None = None
    tags: list = field(default_factory=list)
    metadata: dict = field(default_factory=dict)


@dataclass
class Mark:
    updated_at: int
    tags: list
    annotations: dict


@dataclass
class Stream:
    name: str = ""
    first: int = 1
    head: int = 0
    entries: dict = field(default_factory=dict)
    purged: set = field(default_factory=set)
    marks: dict = field(default_factory=dict)
    checkpoints: dict = field(default_factory=dict)


class Log:
    """The streams, as the records read so far have left them."""

    def __init__(self):
        self.streams = {}

    def stream(self, source):
        return self.streams.setdefault(source.varint(), Stream())

    def apply_frame(self, body, created_at):
        source = Input(body)
        if source.number(1) != BODY_TAG:
            raise Damaged("a frame is of a newer format")
        source.varint()
        time = wrapped(created_at + source.signed())
        while source:
            tag = source.number(1)
            if tag == 0:
                if any(source.rest()):
                    raise Damaged("there is something behind the last record")
            elif 0x10 <= tag < 0x18:
                self.apply_append(tag, source, time)
            else:
                self.apply_record(tag, Input(source.bytes()))

    def apply_append(self, tag, source, time):
        count = 1
        if tag & 1:
            source = Input(source.take(source.number(4)))
            count = source.number(4)
        stream = self.stream(source)
        first_id = source.varint()
        source.varint()
        if tag & 4:
            time = wrapped(time + source.signed())
        for number in range(first_id, first_id + count):
            stream.entries[number] = read_entry(source, time)
        stream.head = first_id + count - 1

    def apply_record(self, tag, source):
        if tag == 0x28:
            return
        stream = self.stream(source)
        match tag:
            case 0x20:
                stream.name = source.text()
            case 0x21:
                source.text()
                stream.name = source.text() or stream.name
            case 0x22:
                stream.first = source.varint()
            case 0x23:
                stream.purged.update(ids(source.bytes()))
            case 0x24:
                number = source.varint()
                stream.marks[number] = Mark(source.signed(), list(texts(source.bytes())), pairs(source.bytes()))
            case 0x25:
                name = source.text()
                stream.checkpoints[name] = (source.varint(), source.bytes())
            case 0x26:
                stream.checkpoints.pop(source.text(), None)
            case 0x27:
                stream.head = source.varint()
            case _:
                raise Damaged("a record is of a newer format")


def read_entry(source, time):
    flags, stored_length = source.number(1), source.varint()
    fields = Input(source.bytes() if flags & 0x7F else b"")
    stored = source.take(stored_length)
    entry = Entry(time)
    more = fields.number(1) if flags & 64 else 0
    if more & 1:
        entry.schema_version = fields.varint()
    if flags & 128:
        entry.content_type = "application/json"
    if more & 2:
        entry.content_type = fields.text()
    length = fields.varint() if more & 12 else 0
    entry.is_tombstone = bool(more & 8)
    entry.payload = lz4_block(stored, length) if more & 4 else stored
    if flags & 1:
        entry.kind = fields.text()
    if flags & 2:
        entry.order_key = fields.text()
    if flags & 4:
        entry.dedup_key = fields.text()
    if flags & 32:
        entry.expires_at = fields.signed()
    if flags & 16:
        entry.tags = list(texts(fields.bytes()))
    if flags & 8:
        entry.metadata = pairs(fields.bytes())
    if fields:
        raise Damaged("an entry has a field of a newer format")
    return entry


# What is printed.


def entry_line(stream, number, now):
    entry = stream.entries.get(number)
    if entry is None:
        raise Damaged(f"entry {number} of stream {stream.name!r} is missing")
    line = {"stream": stream.name, "id": number}
    expired = entry.expires_at is not None and now is not None and entry.expires_at <= now
    if entry.is_tombstone or number in stream.purged or expired:
        return line | {"tombstone": True}
    mark = stream.marks.get(number) or Mark(None, entry.tags, {})
    return line | {
        "payload": entry.payload.hex(),
        "content_type": entry.content_type,
        "kind": entry.kind,
        "order_key": entry.order_key,
        "dedup_key": entry.dedup_key,
        "schema_version": entry.schema_version,
        "metadata": entry.metadata,
        "tags": mark.tags,
        "annotations": mark.annotations,
        "recorded_at": entry.recorded_at,
        "updated_at": mark.updated_at,
        "expires_at": entry.expires_at,
    }


def lines(log, now):
    for stream in sorted(log.streams.values(), key=lambda stream: stream.name.encode()):
        for number in range(stream.first, stream.head + 1):
            yield entry_line(stream, number, now)
        for name, (revision, value) in sorted(stream.checkpoints.items(), key=lambda item: item[0].encode()):
            yield {"stream": stream.name, "checkpoint": name, "revision": revision, "value": value.hex()}


def main():
    parser = argparse.ArgumentParser(description="Prints the entries and checkpoints of a ledger log as JSON lines.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--now", type=int, help="microseconds since 1970: entries that have expired then are tombstones")
    arguments = parser.parse_args()
    log = Log()
    try:
        segments, end = read_segments(arguments.directory)
        for segment in segments:
            for _offset, body in segment.frames(end):
                log.apply_frame(body, segment.created_at)
        for line in lines(log, arguments.now):
            print(json.dumps(line))
    except Damaged as damage:
        sys.exit(f"error: {damage}")


if __name__ == "__main__":
    main()
