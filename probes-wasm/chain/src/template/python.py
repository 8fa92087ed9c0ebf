"""Writes random templates, the keys to render them with, and the result in Python, as one JSON object a line.

python.py SEED COUNT
"""

import json
import random
import re
import sys
import unicodedata
from _string import formatter_field_name_split
from string import Formatter

if sys.version_info[:2] != (3, 11):
    sys.exit(f"expected Python 3.11, got {sys.version.split()[0]}")

seed, count = map(int, sys.argv[1:])
rand = random.Random(seed)
choice = rand.choice

CHARACTERS = [*"aB <'\"\\\n\t\x00\x7fé\xa0\xad€\u200b\u2028\ue000日😀\U0001faf0\U0010ffff{}٣"]
ODD = [*":!.[]{}=z#0,_%\x00é٣", "}}", "{{", "9" * 20]
SUBKEYS = ["x", "a b", "-1", "}", "[", "!r", ":", "é", "0", "", "x.y", "{", "real"]


def text():
    return "".join(choice(CHARACTERS) for _ in range(rand.randrange(6)))


def integer():
    if rand.random() < 0.5:
        return str(rand.randrange(-300, 1200))
    # The last one is beside the largest float.
    large = [rand.getrandbits(99), -rand.getrandbits(64), 10**rand.randrange(320), 2**1024 - 2**970 - rand.randrange(2)]
    return choice(["-0", "0", "65", "8364", "55296", "1114111", "1114112", "-1", *map(str, large)])


def decimal():
    kind = rand.randrange(6)
    if kind == 0:
        return choice("""0.0 -0.0 0.5 1.5 2.5 1.50 1E5 1e16 1e22 9999999999999998.0 0.0001 0.00001 1e-7 1e400 -1E400
                         5e-324 123456789.125 2.20478057861328125""".split())
    if kind == 1:
        return f"{rand.randrange(-10**6, 10**6)}.{rand.randrange(10**rand.randrange(1, 9))}"
    if kind == 2:
        return f"{rand.randrange(-99, 99)}e{rand.randrange(-330, 330)}"
    if kind == 3:
        return repr(rand.randrange(10**6) / 2 ** rand.randrange(20))
    if kind == 4:
        return repr(2.0 ** rand.randrange(-1074, 1024))
    mantissa, exponent = rand.getrandbits(53) | 2**52, rand.randrange(-1074, 971)
    return repr(float(mantissa) * 2.0**exponent)


def value(depth=0):
    """Returns a random value as JSON."""
    kind = rand.randrange(10 if depth < 3 else 8)
    if kind < 2:
        return integer()
    if kind < 4:
        return decimal()
    if kind < 6:
        texts = [text(), text(), "s3cret" + text(), "it's", '"', "'\"'"]
        return json.dumps(choice(texts), ensure_ascii=choice([True, False]))
    if kind < 8:
        return choice(["null", "true", "false"])
    if kind == 8:
        return "[" + ", ".join(value(depth + 1) for _ in range(rand.randrange(4))) + "]"
    names = [json.dumps(choice(SUBKEYS + [text()])) for _ in range(rand.randrange(5))]
    return "{" + ", ".join(f"{name}: {value(depth + 1)}" for name in names) + "}"


NAMES = ["a", "b", "c", "d", "key", "a b", " a ", "a]", "é", "0x", "-1", "self"]


def keys():
    entries = {json.dumps(choice(NAMES)): value() for _ in range(rand.randrange(1, 7))}
    # The keys that nested specs use: width, precision and type.
    entries['"w"'] = choice(['"<"', '"^"', "8", "0", "12", '""', '"+"', '"s3cret"', "null", "1.5", '"é>9"', "true"])
    entries['"p"'] = choice(["2", "0", "3", "10", '"x"', "-1", '"f"'])
    entries['"t"'] = choice(['"d"', '"s"', '"f"', '"x"', '""', '"%"', '"s3cret"'])
    return "{" + ", ".join(f"{key}: {value}" for key, value in entries.items()) + "}"


def spec(of):
    """Returns a random format spec, which is mostly valid for the value."""
    odd = [",_", ".", "q", "\x00", "ü", "s", "c", "n", "d"] if rand.random() < 0.2 else []
    text = isinstance(of, str) and not odd
    whole = isinstance(of, int) and not odd and rand.random() < 0.6
    letters = "s" if text else "bcdoxXn" if whole else "eEfFgGn%"
    made = [choice(["", "<", ">", "^", "*^", "é>", "{>", "}<"] + ([] if text else ["=", "0=", "*="])),
            "" if text else choice(["", "+", " ", "-"]),
            "" if text or whole else choice(["", "z"]),
            "" if text or letters[-1] == "c" else choice(["", "#"]),
            choice(["", "0"]), choice(["", "1", "7", "12", "24"]),
            "" if text else choice(["", ",", "_"]),
            "" if whole else choice(["", ".0", ".1", ".3", ".6", ".16", ".17", ".25", ".400"]),
            choice(["", *letters])]
    made = [choice(odd) if odd and rand.random() < 0.2 else piece for piece in made if rand.random() < 0.8]
    if odd and rand.random() < 0.3:
        rand.shuffle(made)
    return "".join(made)


def nested_spec():
    pieces = ["{w}", "{p}", "{t}", ".{p}", ">", "0", "{w}.{p}", "{w}{t}", "{{", "}}", "{a}", "{w!s}", "{w!r:2}",
              *rand.sample(["{nope}", "{w:{p}}", "{}"], 1)]
    return "".join(choice(pieces) for _ in range(rand.randrange(1, 4)))


def steps(of):
    """Returns a random step of a path into the value, and the value that it leads to."""
    if rand.random() < 0.1:
        odd = [f"[{choice(SUBKEYS)}]", ".real", ".numerator", ".nope", "[٣]", "[]", ".", "[" + "9" * 19 + "]"]
        return choice(odd), None
    if isinstance(of, (list, str)) and of:
        index = rand.randrange(len(of))
        return f"[{index}]", of[index]
    if isinstance(of, dict) and of:
        key = choice(list(of))
        return f"[{key}]", of[key]
    if isinstance(of, float):
        return choice([".real", ".imag"]), of.real
    if isinstance(of, int):
        return choice([".real", ".imag", ".numerator", ".denominator"]), of.real
    return "", of


def field(values):
    path = choice(list(values)) if rand.random() < 0.95 else choice(NAMES + ODD)
    of = values.get(path)
    while rand.random() < 0.4:
        step, of = steps(of)
        path += step
    conversion = ""
    if rand.random() < 0.3:
        conversion = choice(["!r", "!s", "!a"]) if rand.random() < 0.9 else choice(["!x", "!", "!\x00"])
        of = ""
    format = choice(["", ":", ":" + spec(of), ":" + spec(of), ":" + nested_spec()])
    return "{" + path + conversion + format + "}"


def template(values):
    parts = [choice([text, lambda: "", lambda: choice(["{{", "}}"])])() for _ in range(2)]
    parts = [re.sub("[{}]", lambda brace: brace[0] * 2, part) if rand.random() < 0.9 else part for part in parts]
    made = parts[0] + "".join(field(values) for _ in range(choice([1, 1, 1, 2, 3]))) + parts[1]
    while rand.random() < 0.1:
        at = rand.randrange(len(made) + 1)
        made = made[:at] + choice(["", choice(ODD), made[at:at + 3]]) + made[at + rand.randrange(2):]
    return made


def matrix():
    """Yields one template for each type of value, with a random spec, and its keys."""
    for of in (integer, decimal, lambda: json.dumps(text()), value):
        entry = of()
        yield f"{{a:{spec(json.loads(entry))}}}", f'{{"a": {entry}}}'


def fields(made):
    return [(name, spec) for _, name, spec, _ in Formatter().parse(made) if name is not None]


def is_large(made, values):
    """Returns true if a width or precision is out of bounds. Python would take gigabytes to format by such a spec."""
    sizes = (size for _, spec in fields(made) for size in re.findall(r"\d+", spec.format_map(values)))
    return any(int(size) > 10**6 for size in sizes)


def has_attribute(made):
    names = [name for field, spec in fields(made) for name in [field, *(name for name, _ in fields(spec))]]
    steps = [step for name in names for step in formatter_field_name_split(name)[1]]
    return any(attribute and step not in ("real", "imag", "numerator", "denominator") for attribute, step in steps)


def case(made, keys):
    line = {"template": made, "keys": keys}
    try:
        values = json.loads(keys)
        if is_large(made, values):
            return line | {"deviation": "a width or precision out of bounds"}
        ok = made.format_map(values)
        if has_attribute(made):
            return line | {"deviation": "an attribute that is not supported"}
        ok.encode()
    except UnicodeEncodeError:
        return line | {"deviation": "a surrogate in the result"}
    except Exception as error:
        return line | {"error": str(error)}
    return line | {"ok": ok}


print(json.dumps({
    "printable": "".join("01"[chr(code).isprintable()] for code in range(0x110000)),
    "decimal": {chr(code): unicodedata.decimal(chr(code)) for code in range(0x110000) if chr(code).isdecimal()},
}))
produced = 0
while produced < count:
    entries = keys()
    values = json.loads(entries)
    batch = [(template(values), entries) for _ in range(2)] + list(matrix())
    for made, entries in batch:
        print(json.dumps(case(made, entries)))
    produced += len(batch)
