"""`diptych demo`: the installed command on the embedded default, and on a pair of real stores."""

import subprocess


def check(ran, steps: int = 8) -> dict:
    assert ran.code == 0, ran.out + ran.err
    made = ran.json
    assert made["ok"]
    assert [step["ok"] for step in made["steps"]] == [True] * steps
    return made


def test_the_demo_tells_itself_on_the_embedded_default(bare):
    """Without any setting the demo starts a real PostgreSQL, shows every step, proves each, and needs no terminal."""
    try:
        ran = bare("demo")
        assert ran.code == 0, ran.out + ran.err
        assert "9. Plant a drift, find it, heal it" in ran.out
        assert "✗" not in ran.out
        assert "\x1b" not in ran.out
        assert "all as they should be" in ran.out
        assert "$ diptych local down" in ran.out
        again = check(bare("demo", "--json"), steps=9)
        assert again["duration_ms"] < 30_000
        drift = again["steps"][8]["facts"]
        assert drift["found"] >= drift["repaired"] >= 1
        # The graph outlives the processes that wrote it, and is a copy of its own.
        ran = bare("check", "--depth", "full", "--json")
        assert ran.code == 0, ran.err
        report = ran.json
        assert (report["in_step"], report["independent"]) == (True, True)
        assert report["checked"]["graph"] == again["steps"][7]["facts"]["memories"]
    finally:
        bare("local", "down")


def test_the_demo_imports_the_repository_it_stands_in(paired):
    """In a git repository its history is what is told, and the search and the walk are about it."""

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=paired.folder, check=True, capture_output=True)

    git("init", "-q", ".")
    for number in range(30):
        (paired.folder / f"part{number % 5}.py").write_text(str(number))
        git("add", "part*.py")
        git("commit", "-q", "-m", f"Improve the wheel of part {number} for issue #{number % 7}")
    made = check(paired("demo", "--json"))
    assert made["steps"][1]["facts"]["stored"] == 30
    assert made["steps"][3]["facts"]["related"]


def test_the_demo_leaves_others_alone(diptych):
    """Only the demo's own tenant is emptied and written."""
    diptych("store", "Mine.", "--id", "m1", "--user", "demo")
    check(diptych("demo", "--json", "--graph-url", "memory://"))
    check(diptych("demo", "--json", "--graph-url", "memory://"))
    assert diptych("get", "m1", "--user", "demo", "--json").json["content"] == "Mine."


def test_the_demo_needs_a_graph(diptych):
    """Without a graph there is half of it to show: one sentence says so."""
    ran = diptych("demo")
    assert ran.code == 2
    assert "needs a graph" in ran.err
