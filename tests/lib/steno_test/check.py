"""Judging a finished recording of Chromium participants against what the SFU was given."""
import glob
import os
import statistics

from . import media, steno
from .case import Unfit

FPS = 15
PRESENT_MIN = 0.999
OFFSET_MAX = 0.045
FIRST_FRAME_MAX = 2.0


def files(folder):
    """The media files of a finished recording, by name."""
    return sorted(p for p in glob.glob(os.path.join(folder, "*"))
                  if os.path.splitext(p)[1] in (".webm", ".mp4", ".mkv", ".ogg", ".m4a", ".opus"))


def by_tag(folder):
    """{tag of the picture: (path, frames)}; every file must hold exactly one participant's picture."""
    found = {}
    for path in files(folder):
        pictures = media.frames(path)
        tags = {f.tag for f in pictures if f.tag is not None}
        assert len(tags) == 1, f"{os.path.basename(path)} holds the pictures of {len(tags)} participants"
        tag = tags.pop()
        assert tag not in found, f"two files hold the picture of participant {tag}: {os.path.basename(path)}"
        found[tag] = (path, pictures)
    return found


def verified(folder):
    done = steno.run("verify", folder)
    assert done.returncode == 0, f"steno verify: exit {done.returncode}: {done.stdout}{done.stderr}"


def clean(path):
    """Decodes without a word from ffmpeg."""
    complaints = media.errors(path)
    assert not complaints, f"{os.path.basename(path)}: ffmpeg says {complaints[:400]}"


def complete(case, name, truth, pictures, minimum=PRESENT_MIN):
    """The frames the SFU was given are there and in order, from the first that was recorded on."""
    found = media.compare(truth, pictures)
    share = found["present"] / max(1, found["expected"])
    before = len([n for n in truth if n < next((f.number for f in pictures if f.number is not None), 1 << 30)])
    case.figure(f"{name}: {found['present']} of {found['expected']} frames ({100 * share:.2f} %), "
                f"{before} before the first recorded, {found['unreadable']} unreadable")
    assert found["expected"] > 0, f"{name}: no frame of it is in the file"
    assert share >= minimum, f"{name}: {100 * share:.2f} % of the frames; missing {found['missing'][:20]}"
    assert found["disorder"] == 0, f"{name}: {found['disorder']} frames out of order"
    assert found["foreign"] == 0, f"{name}: {found['foreign']} frames the SFU never had"
    return found, before


def timely(case, name, holds, words, limit=OFFSET_MAX):
    """
    Asserts what hangs on the browser's own clocks, unless they went apart before the SFU had its media (a machine that
    stands still now and then): then again, and on the last attempt it is told and not judged. sync.py judges times with a
    publisher that does not depend on the machine's mood.
    """
    if holds:
        return
    apart = case.at_sfu.get(name)
    if apart is None and not case.last_attempt:
        raise Unfit(f"{words}; what the SFU had was not measured")
    assert apart is not None and apart > limit, words
    spoiled = f"{words}; {1000 * apart:.0f} ms apart at the SFU already"
    if not case.last_attempt:
        raise Unfit(spoiled)
    case.figure(spoiled + ": not judged")


def in_sync(case, name, path, pictures, fps=FPS, limit=OFFSET_MAX, count_min=1):
    """Flash and beep together."""
    sound = media.Audio(path)
    late = media.offsets(pictures, sound.beeps(), fps)
    assert len(late) >= count_min, f"{name}: {len(late)} flashes with a beep, wanted {count_min}"
    case.figure(f"{name}: picture after sound, ms: median {1000 * statistics.median(late):.1f}, "
                f"{1000 * min(late):.1f} to {1000 * max(late):.1f} in {len(late)} flashes")
    worst = max(late, key=abs)
    timely(case, name, abs(worst) <= limit, f"{name}: flash and beep {1000 * worst:.0f} ms apart", limit)
    return sound


def publisher_offset(case, name, video, audio, fps=FPS):
    """The same at the SFU, by arrival: what the browser itself puts between picture and sound."""
    sources = [media.mjr_file(video), media.mjr_file(audio)]
    try:
        pictures, beeps = media.frames(sources[0]), media.Audio(sources[1]).beeps()
    finally:
        for source in sources:
            os.unlink(source)
    shift = (media.mjr_info(video)["u"] - media.mjr_info(audio)["u"]) / 1e6
    for frame in pictures:
        frame.time += shift
    late = media.offsets(pictures, beeps, fps)
    if late:
        case.at_sfu[name] = max(map(abs, late))
        case.figure(f"{name}: at the SFU by arrival, ms: median {1000 * statistics.median(late):.1f}, "
                    f"{1000 * min(late):.1f} to {1000 * max(late):.1f}")
    return [f.number for f in pictures if f.number is not None]


def paced(case, name, pictures, fps=FPS):
    """Times in the file against the times the numbers stand for: how far the worst frame is from its place, in s."""
    pairs = [(f.time, f.number) for f in pictures if f.number is not None]
    seen, first = set(), []
    for time, number in pairs:
        if number not in seen:
            seen.add(number)
            first.append((time, number))
    shifts = [time - number / fps for time, number in first]
    middle = statistics.median(shifts)
    worst = max(abs(s - middle) for s in shifts)
    case.figure(f"{name}: worst frame {1000 * worst:.0f} ms from its place")
    return middle, worst
