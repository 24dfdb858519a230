"""
What an AppArmor profile allows, asked of the policy that apparmor_parser compiled, the way the kernel asks it
(security/apparmor: policy_unpack.c, match.c, file.c): no kernel with AppArmor is needed, and no reading of the rules of ours.
"""
import struct
import subprocess

ABI = "/etc/apparmor.d/abi/3.0"
# Of one rule's permissions in the table: the kernel's bits.
EXEC, WRITE, READ, APPEND, LINK, LOCK, MMAP = 1, 2, 4, 8, 0x10, 0x20, 0x40
LETTERS = {"x": EXEC, "w": WRITE, "r": READ, "a": APPEND, "l": LINK, "k": LOCK, "m": MMAP}
OTHER_SHIFT = 14  # first what the owner of a file may, then what everybody may
EXEC_HOW, EXEC_INHERIT = 0x3F80, 0x200  # which profile a program that is run gets; `ix`: this one
CLASS_NETWORK = 14
CAPABILITIES = {"dac_override": 1, "dac_read_search": 2, "kill": 5, "setuid": 7, "net_admin": 12, "net_raw": 13,
                "sys_ptrace": 19, "sys_admin": 21}


class _Dfa:
    """A table of states (flex's format, big endian)."""

    ACCEPT, BASE, CHECK, DEFAULT, CLASSES, NEXT = 1, 2, 3, 4, 5, 8
    WIDTHS = {1: "B", 2: "H", 4: "I"}
    DIFFERENCE = 0x80000000  # in a state's base: what is not here is to be looked for in its default state

    def __init__(self, blob):
        magic, at, size = struct.unpack_from(">III", blob)
        assert magic == 0x1B5E783D, f"no table: {magic:#x}"
        self._tables = {}
        while at < size:
            id_, width, high, low = struct.unpack_from(">HHII", blob, at)
            assert high == 0, "a table of two dimensions"
            self._tables[id_] = struct.unpack_from(f">{low}{self.WIDTHS[width]}", blob, at + 12)
            at += (12 + low * width + 7) & ~7

    def match(self, data, state=1):
        tables = self._tables
        for byte in data:
            class_ = tables[self.CLASSES][byte] if self.CLASSES in tables else byte
            while True:
                base = tables[self.BASE][state]
                at = (base & 0xFFFFFF) + class_
                if tables[self.CHECK][at] == state:
                    state = tables[self.NEXT][at]
                    break
                state = tables[self.DEFAULT][state]
                if not base & self.DIFFERENCE:
                    break
        return state

    def accept(self, state):
        return self._tables[self.ACCEPT][state]


class _Reader:
    """The compiled policy: typed items, one after another."""

    def __init__(self, data):
        self._data, self._at = data, 0

    def items(self):
        """(kind, value) of each; kinds: number, name, string, blob, mark."""
        while self._at < len(self._data):
            code = self._take("B")
            if code <= 3:
                yield "number", self._take("BHIQ"[code])
            elif code in (4, 5):
                yield ("name" if code == 4 else "string"), self._bytes(self._take("H")).rstrip(b"\0").decode()
            elif code == 6:
                count = self._take("I")
                padding = -self._at % 8  # the tables in it begin at a multiple of 8
                yield "blob", self._bytes(count)[padding:]
            else:
                if code == 11:
                    self._take("H")
                yield "mark", code

    def _take(self, layout):
        value, = struct.unpack_from("<" + layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return value

    def _bytes(self, count):
        self._at += count
        return self._data[self._at - count:self._at]


class Profile:
    """
    The only profile of a file. local: lines in the place of <local/…>.
    """

    def __init__(self, path, local=""):
        with open(path) as file:
            text = file.read()
        include = f"include if exists <local/{path.rsplit('/', 1)[-1]}>"
        assert include in text, f"{path} has no {include}"
        done = subprocess.run(["apparmor_parser", "-Q", "-K", "--kernel-features", ABI, "-S"], capture_output=True,
                              input=text.replace(include, local).encode())
        assert done.returncode == 0, done.stderr.decode()
        items = list(_Reader(done.stdout).items())
        tables = [_Dfa(value) for kind, value in items if kind == "blob"]
        names = [value for kind, value in items if kind == "name"]
        assert names.count("profile") == 1 and len(tables) == 3, "not one profile with attachment, classes and files"
        self.attachment, self._classes, self._files = tables
        self.complain = self._numbers(items, "flags")[1] == 1
        self._capabilities = self._numbers(items, "path_flags")[1]  # the low word of what is allowed follows the flags

    @staticmethod
    def _numbers(items, name):
        return [value for kind, value in items[items.index(("name", name)):] if kind == "number"]

    def attaches_to(self, path):
        return self.attachment.accept(self.attachment.match(path.encode())) != 0

    def allows(self, path, wanted, owner=False):
        """wanted: letters of file rules; owner: the file belongs to who asks."""
        bits = self._files.accept(self._files.match(path.encode()))
        may = bits & 0x7F if owner else (bits >> OTHER_SHIFT) & 0x7F
        return all(may & LETTERS[letter] for letter in wanted)

    def inherits(self, path):
        """Is it run, and within this profile?"""
        bits = self._files.accept(self._files.match(path.encode())) >> OTHER_SHIFT
        return bool(bits & EXEC) and bits & EXEC_HOW == EXEC_INHERIT

    def allows_socket(self, family, kind):
        """socket(2)'s first two arguments."""
        state = self._classes.match(bytes([CLASS_NETWORK]))
        return self._classes.accept(self._classes.match(struct.pack(">HH", family, kind & 0xF), state)) & 0x3FFFF != 0

    def allows_capability(self, name):
        return bool(self._capabilities >> CAPABILITIES[name] & 1)
