"""Models of others are simulated by their law, or refused by name: net rates, shortages, switches, units, chance."""

import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, chisquare, poisson

from weightflow.data import read
from weightflow.errors import InputError
from weightflow.systems import Simulator, find_system, network, simulate
from weightflow.systems.bounds import bounds, value
from weightflow.systems.mathml import apply, ci, cn, piecewise

MASSES = "species A = 100, B = 0;"
TIMES = np.array([0.5, 2.0, 20.0])


@pytest.fixture
def run(tmp_path: Path):
    """Simulate a model's text."""

    def simulated(text: str, times=TIMES, trajectories: int = 400, name: str = "own.ant", **options) -> np.ndarray:
        path = tmp_path / name
        path.write_text(text if name.endswith(".xml") else f"model m()\n {text}\nend")
        return simulate(path, trajectories, 1, times, **options)[0]

    return simulated


def follows(counts: np.ndarray, law: np.ndarray) -> bool:
    """Tell whether counts pass the chi-square test, where states expected fewer than 10 times are taken together."""
    seen = np.bincount(counts.astype(int), minlength=len(law))[: len(law)].astype(float)
    expected = law * len(counts)
    rare = expected < 10
    seen, expected = np.r_[seen[~rare], seen[rare].sum()], np.r_[expected[~rare], expected[rare].sum()]
    if expected[-1] < 1e-9:
        seen, expected = seen[:-1], expected[:-1]
    return seen.sum() == len(counts) and chisquare(seen, expected * len(counts) / expected.sum()).pvalue > 1e-4


def sbml_of(text: str) -> str:
    antimony = pytest.importorskip("antimony")
    antimony.clearPreviousLoads()
    assert antimony.loadAntimonyString(f"model m()\n {text}\nend") >= 0
    return antimony.getSBMLString("m")


@pytest.mark.parametrize(
    "text",
    [
        f"{MASSES} A -> B; 0.2*A - 0.2*B;",
        f"{MASSES} A -> B; 0.2*(A - B);",
        f"{MASSES} k = 0.2; A -> B; k*A - k*B;",
        f"{MASSES} k = 0.2; v := k*A - k*B; A -> B; v;",
        f"{MASSES} species E = 2; A + E -> B + E; 0.1*E*(A - B);",
        f"{MASSES} total = 0.4; total2 := A + B; A -> B; total*A - 0.2*total2;",
        f"{MASSES} A -> B; (40*A - 40*B)/(100 + A + B);",
        f"{MASSES} A -> B; piecewise(0.2*A - 0.2*B, A + B > 0, 7);",
        f"{MASSES} A -> B; 0.2*A - piecewise(0.2*B, B > 0, 0);",
        f"{MASSES} A -> B; 0.2*A + piecewise(-0.2*B, B > 0, 0);",
        "compartment C = 2; species A in C = 50, B in C = 0; A -> B; C*(0.2*A - 0.2*B);",
    ],
)
def test_a_net_rate_is_two_directions_whose_molecules_are_independent(run, text):
    # Each molecule is A with probability (1 + exp(-0.4 t)) / 2, on its own.
    samples = run(text)
    assert (samples[..., :2].sum(-1) == 100).all()
    for counts, chance in zip(samples[..., 0].T, (1 + np.exp(-0.4 * TIMES)) / 2, strict=True):
        assert follows(counts, binom.pmf(np.arange(101), 100, chance))


@pytest.mark.parametrize("call", ["f(A, B)", "f(A, B) + 0"])
def test_a_net_rate_in_a_function_of_sbml_is_split_too(run, tmp_path, call):
    text = f"function f(a, b)\n 0.2*a - 0.2*b\nend\nmodel m()\n {MASSES} A -> B; {call};\nend"
    (tmp_path / "f.ant").write_text(text)
    samples = simulate(tmp_path / "f.ant", 400, 1, TIMES)[0]
    same = run(sbml_of(f"{MASSES} A -> B; 0.2*A - 0.2*B;"), name="own.xml")
    for ensemble in (samples, same):
        assert follows(ensemble[:, -1, 0], binom.pmf(np.arange(101), 100, 0.5))


def test_a_law_that_only_later_is_a_difference_goes_back_only_then(run):
    samples = run(f"{MASSES} A -> B; piecewise(0.2*A, time < 2, 0.2*A - 0.2*B);", [2.0, 20.0])[..., 0]
    assert follows(samples[:, 0], binom.pmf(np.arange(101), 100, math.exp(-0.4)))
    assert follows(samples[:, 1], binom.pmf(np.arange(101), 100, (1 + math.exp(-7.2) * (2 * math.exp(-0.4) - 1)) / 2))


def test_a_dimer_that_forms_and_falls_apart_settles_at_detailed_balance(run):
    # p(n dimers) is proportional to (c / d)^n / (n! (A0 - 2 n)!) with A (A - 1) c and d per dimer.
    samples = run("species A = 12, B = 0; 2 A -> B; 0.05*A*(A - 1) - 0.4*B;", [40.0], 1500)[:, 0, 1]
    weights = np.array([(0.05 / 0.4) ** n / (math.factorial(n) * math.factorial(12 - 2 * n)) for n in range(7)])
    assert follows(samples, weights / weights.sum())


@pytest.mark.parametrize(
    "law",
    [
        "A => B; 0.2*A - 0.2*B",  # one direction, says the arrow
        "A -> ; 0.2*A - 1",
        "-> B; 5 - 0.2*B",  # made and lost, or made until there are 25?
        "A -> B; 0.1*A*(1 + B) - 0.05*B*(1 + A)",  # the net rate does not tell how much of A B goes each way
        "A -> B; 0.2*A*(1 - B/50)",  # stops where B is full, or goes back?
        "A -> B; 0.2*A - 0.2*B*A",
        "A -> B; 0.2*A - 1",
        "A -> B; min(0.2*A - 0.2*B, 5)",
        "A -> B; -0.2*A",
        "A -> B; k*A - k*B; k = 0.2; at (A < 60): k = -1",
    ],
)
def test_a_rate_that_may_be_negative_and_does_not_split_exactly_is_refused_by_name(run, law):
    with pytest.raises(InputError, match=r"reaction `_J0`.*(direction|turn)"):
        run(f"{MASSES} {law};")


def test_a_rate_that_stops_is_written_with_max(run):
    assert (run("species G = 0; => G; 3*max(0, 1 - G);")[:, -1, 0] == 1).all()
    assert (run("species X = 1; X => 2 X; piecewise(2*X*(1 - X/20), X < 20, 0);", [30.0])[..., 0] == 20).all()


@pytest.mark.parametrize("pairs", ["0.5*A*(A - 1)", "0.5*E*A*(A - 1)*(A - 2)", "2.5*A*(A-1)/(1 + A)"])
def test_falling_factorials_are_never_negative(run, pairs):
    assert run(f"species A = 9, B = 0, E = 1; => B; {pairs};", [0.01], 5).min() >= 0


def test_a_reaction_whose_reactants_are_short_does_not_happen(run):
    assert (run("species A=1, B=0; A + A => B; 0.5*A*A;", trajectories=20)[:, -1] == [1, 0]).all()
    assert (run("species A=7, B=0; 3 A => B; 1;", [200.0], 50)[:, -1] == [1, 2]).all()
    assert (run("species X=2; X => ; 1;", [60.0], 50)[:, -1] == 0).all()
    assert (run("compartment C=0.1; species X in C = 30; 2 X => ; 1;", [60.0], 50)[:, -1] == 1).all()


def test_a_source_that_no_reaction_uses_up_needs_no_molecule(run):
    samples = run("species $S = 0, X = 0; S => X; 2; X => ; 0.5*X;", [10.0])[:, 0, 0]
    assert follows(samples, poisson.pmf(np.arange(40), 4 * (1 - math.exp(-5))))


def test_an_explosion_ends_with_a_message(run):
    with pytest.raises(InputError, match=r"too many reactions.*--max-reactions"):
        run("species X=10; X => 2 X; 0.1*X*X;", max_reactions=200_000)


def test_pauses_between_calls_change_no_law(run, monkeypatch):
    monkeypatch.setattr(network, "PAUSE", 7)
    monkeypatch.setattr(sys.modules[Simulator.__module__], "PAUSE", 7)
    samples = run("species X = 0; => X; 6; X => ; 0.5*X; at (time > 4): X = 0;", [1.0, 3.0, 6.0])[..., 0]
    for counts, mean in zip(samples.T, 12 * (1 - np.exp(-0.5 * np.array([1.0, 3.0, 2.0]))), strict=True):
        assert follows(counts, poisson.pmf(np.arange(60), mean))


def test_an_interrupt_is_answered_within_a_trajectory(tmp_path):
    (tmp_path / "busy.ant").write_text("model m()\n species X = 1000; => X; 1e6; X => ; 1000*X;\nend")
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from weightflow.systems import simulate; print('go', flush=True)\n"
        "simulate('busy.ant', 1, 0, [0.0, 1e6], max_reactions=10**12)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=-1, stderr=-1)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert b"KeyboardInterrupt" in errors


@pytest.mark.parametrize("trigger", ["time > 2", "time >= T1 + 1", "2*time - 1 > 3", "time > 2 && X >= 0", "2 < time"])
def test_an_event_acts_exactly_at_its_time_in_every_trajectory(run, trigger):
    text = f"T1 = 1; species X=0; k=5; => X; k; X => ; 0.5*X; E1: at ({trigger}): k = 0;"
    samples = run(text, [2.0, 4.0, 60.0], 500)[..., 0]
    mean = 10 * (1 - math.exp(-1))
    assert follows(samples[:, 0], poisson.pmf(np.arange(40), mean))
    assert follows(samples[:, 1], poisson.pmf(np.arange(40), mean * math.exp(-1)))
    assert (samples[:, 2] == 0).all()


def test_several_events_set_species_and_parameters_and_happen_again_in_the_next_trajectory(run):
    text = (
        "species X=3; => X; 0*X; E1: at (time >= 1): X = X + 10; E2: at (time > 2): X = X + time; E3: at (time<0): X=0;"
    )
    samples = run(text, [0.999, 1.0, 2.0, 2.001, 5.0], 4)[..., 0]
    assert (samples == [3, 13, 13, 15, 15]).all()


def test_events_of_one_time_happen_in_the_order_of_the_text_whatever_the_trajectory(run):
    text = "species X=1; => X; 0*X; at (time > 1): X = 5; at (time > 1): X = 3; at (X == 3): X = 4;"
    assert (run(text, [2.0], 50) == 4).all()


@pytest.mark.parametrize(("priority", "last"), [((2, 1), 300), ((1, 2), 500), ((1, 1), None)])
def test_priorities_order_events_and_equal_ones_are_refused(run, priority, last):
    maths = f'<math xmlns="{MATHML}">'
    clock = '<csymbol encoding="text" definitionURL="http://www.sbml.org/sbml/symbols/time">t</csymbol>'
    events = "".join(
        f'<event id="E{value}" useValuesFromTriggerTime="true"><trigger initialValue="true" persistent="true">{maths}'
        f"<apply><gt/>{clock}<cn>1</cn></apply></math></trigger><priority>{maths}<cn>{rank}</cn></math></priority>"
        f'<listOfEventAssignments><eventAssignment variable="B">{maths}<cn>{value}</cn></math></eventAssignment>'
        "</listOfEventAssignments></event>"
        for rank, value in zip(priority, (500, 300), strict=True)
    )
    text = sbml(events=f"<listOfEvents>{events}</listOfEvents>")
    if last is None:
        with pytest.raises(InputError, match=r"events `E500` and `E300`.*priority of its own"):
            run(text, name="own.xml")
    else:
        assert (run(text, [1.0, 1.0000001], 50, "own.xml")[:, 1, 1] == last).all()


def test_an_event_at_the_start_and_one_that_waits_for_species_after_a_time(run):
    assert (run("species X=3; => X; 0; at (time > 0): X = 8;", [0.0, 1.0], 3)[..., 0] == [3, 8]).all()
    samples = run("species X=9; X => ; X; at (time > 3 && X < 5): X = 50;", [2.9, 3.001, 30.0], 400)[..., 0]
    assert samples[:, 0].max() <= 9
    # 9 exp(-3) = 0.45 are left: nearly all have fewer than 5 and jump at 3 itself
    assert (samples[:, 1] > 40).all()


@pytest.mark.parametrize(("at_start", "later"), [("true", 3), ("false", 8)])
def test_an_event_whose_trigger_holds_from_the_start_happens_then_only_where_the_model_says_so(run, at_start, later):
    text = f"species X=3; => X; 0*X; E: at (X < 5), t0={at_start}: X = 8; F: at (X > 100): X = 0;"
    assert (run(text, [1.0], 3) == later).all()


def test_a_window_in_a_law_acts_exactly_while_it_lasts(run):
    pulse = "species X=0; k := piecewise(1000, time >= 2 && time < 2.01, 0); => X; k;"
    samples = run(pulse, [2.0, 2.005, 2.01, 9.0, 5000.0], 300)[..., 0]
    assert (samples[:, 0] == 0).all()
    for counts, mean in zip(samples.T[1:], [5, 10, 10, 10], strict=True):
        assert follows(counts, poisson.pmf(np.arange(60), mean))


def test_days_and_nights_switch_at_their_times(tmp_path):
    # In a process of its own, since type checks of tests make each look for a switch slow.
    days = {"floor": "time - 2*floor(time/2) < 1", "rest": "time % 2 < 1", "wave": "sin(pi*time) > 0"}
    for name, day in days.items():
        text = f"species X=0; => X; piecewise(4, {day}, 0);"
        (tmp_path / f"{name}.ant").write_text(f"model m()\n {text}\nend")
    code = (
        "import sys, numpy\nfrom weightflow.systems import simulate\n"
        "for name in sys.argv[1:]:\n    numpy.save(name, simulate(f'{name}.ant', 500, 1, [0.5, 1, 2, 5.5])[0])"
    )
    subprocess.run([sys.executable, "-c", code, *days], cwd=tmp_path, check=True)
    for name in days:
        samples = np.load(tmp_path / f"{name}.npy", allow_pickle=False)[..., 0]
        assert np.array_equal(samples[:, 1], samples[:, 2]), name  # nothing is made at night
        for counts, mean in zip(samples.T, [2, 4, 4, 12], strict=True):
            assert follows(counts, poisson.pmf(np.arange(60), mean)), name


@pytest.mark.parametrize("trigger", ["X > 3*time", "time^2 > 4", "sin(time) > 0.5"])
def test_events_whose_time_is_not_exact_are_refused_by_name(run, trigger):
    with pytest.raises(InputError, match=r"event `E1`.*`time > 2 && X < 5`"):
        run(f"species X=9; X => ; X; E1: at ({trigger}): X = 9;")


@pytest.mark.parametrize("start", ["poisson(20)", "normal(20, 2)", "uniform(1, 5)"])
def test_random_functions_are_refused_by_name(run, start):
    with pytest.raises(InputError, match=f"`{start.split('(')[0]}`.*seed"):
        run(f"species X; X = {start}; X => ; 0.1*X;")


MOLES = """<?xml version="1.0" encoding="UTF-8"?>
<sbml xmlns="http://www.sbml.org/sbml/level2/version4" level="2" version="4"><model id="m">
<listOfUnitDefinitions><unitDefinition id="substance"><listOfUnits><unit kind="KIND" scale="SCALE"/></listOfUnits>
</unitDefinition></listOfUnitDefinitions>
<listOfCompartments><compartment id="c" size="2"/></listOfCompartments>
<listOfSpecies><species id="A" compartment="c" initialAmount="10" hasOnlySubstanceUnits="true"/>
<species id="B" compartment="c" initialConcentration="0"/></listOfSpecies>
<listOfParameters><parameter id="k" value="0.02"/></listOfParameters>
<listOfReactions><reaction id="r" reversible="false">
<listOfReactants><speciesReference species="A"/></listOfReactants>
<listOfProducts><speciesReference species="B"/></listOfProducts>
<kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML"><apply><times/><ci>k</ci><ci>A</ci>
<apply><plus/><ci>A</ci><apply><times/><cn>2</cn><ci>B</ci></apply></apply></apply></math></kineticLaw>
</reaction></listOfReactions></model></sbml>"""


def test_moles_are_refused_and_scaled_exactly_where_it_is_said_how(run):
    # The law is k A (A + B's amount) = 0.2 A in units: as numbers, each of 1,000 molecules goes at rate 0.2.
    moles = MOLES.replace("KIND", "mole").replace("SCALE", "-9")
    with pytest.raises(InputError, match=r"species `A`.*1e-09 mole.*--molecules-per-unit X"):
        run(moles, name="own.xml")
    samples = run(moles, [0.0, 2.0], name="own.xml", molecules_per_unit=100.0)
    assert (samples[:, 0] == [1000, 0]).all()
    assert follows(samples[:, 1, 0], binom.pmf(np.arange(1001), 1000, math.exp(-0.4)))
    items = MOLES.replace("KIND", "item").replace("SCALE", "0")
    assert (run(items, [0.0], 1, "own.xml")[0, 0] == [10, 0]).all()
    with pytest.raises(InputError, match="above 0"):
        run(moles, name="own.xml", molecules_per_unit=0.0)


def sbml(model: str = "", species: str = "", product: str = "", law: str = "", root: str = "", events: str = "") -> str:
    """Return a model A => B at 0.5 A, from 100 molecules, with attributes of its parts."""
    core = "http://www.sbml.org/sbml/level3/version1/core"
    flags = 'compartment="c" hasOnlySubstanceUnits="true" boundaryCondition="false" constant="false"'
    turned = 'stoichiometry="1" constant="true"'
    return (
        f'<sbml xmlns="{core}" level="3" version="1" {root}><model id="m" {model}>'
        '<listOfUnitDefinitions><unitDefinition id="nmol"><listOfUnits>'
        '<unit kind="mole" exponent="1" scale="-9" multiplier="1"/></listOfUnits></unitDefinition>'
        '<unitDefinition id="nanomole"><listOfUnits><unit kind="mole" exponent="1" scale="0" multiplier="1e-9"/>'
        "</listOfUnits></unitDefinition></listOfUnitDefinitions>"
        '<listOfCompartments><compartment id="c" size="1" constant="true"/></listOfCompartments><listOfSpecies>'
        f'<species id="A" initialAmount="100" {flags} {species}/><species id="B" initialAmount="0" {flags} {product}/>'
        '</listOfSpecies><listOfParameters><parameter id="f" value="2" constant="true"/></listOfParameters>'
        '<listOfReactions><reaction id="r" reversible="false" fast="false"><listOfReactants>'
        f'<speciesReference species="A" {turned}/></listOfReactants><listOfProducts>'
        f'<speciesReference species="B" {turned}/></listOfProducts><kineticLaw {law}><math xmlns="{MATHML}"><apply>'
        f"<times/><cn>0.5</cn><ci>A</ci></apply></math></kineticLaw></reaction></listOfReactions>{events}</model></sbml>"
    )


MATHML = "http://www.w3.org/1998/Math/MathML"
COMP = "http://www.sbml.org/sbml/level3/version1/comp/version1"


@pytest.mark.parametrize(
    ("parts", "refused"),
    [
        ({"model": 'conversionFactor="f"'}, "conversion factor `f`"),
        ({"product": 'conversionFactor="f"'}, "conversion factor `f`"),
        ({"root": f'xmlns:comp="{COMP}" comp:required="true"'}, "package `comp`"),
        ({"law": 'timeUnits="minute"'}, "reaction `r`.*`minute`"),
        ({"model": 'extentUnits="nmol"'}, "rate of reaction `r`.*--molecules-per-unit"),
        ({"law": 'substanceUnits="mole"'}, "rate of reaction `r`.*--molecules-per-unit"),
        ({"product": 'substanceUnits="nmol"'}, "species `B`.*--molecules-per-unit"),
    ],
)
def test_what_would_change_a_model_unseen_is_refused_by_name(run, parts, refused):
    with pytest.raises(InputError, match=refused):
        run(sbml(**parts), name="own.xml")


def test_one_number_of_molecules_for_a_unit_needs_one_unit(run):
    mixed = {"species": 'substanceUnits="item"', "product": 'substanceUnits="nmol"'}
    with pytest.raises(InputError, match=r"species `A`.*`item`, but species `B` in `nmol`.*alike"):
        run(sbml(**mixed), name="own.xml", molecules_per_unit=10.0)
    alike = {"model": 'extentUnits="nanomole"', "species": 'substanceUnits="nmol"', "product": 'substanceUnits="nmol"'}
    samples = run(sbml(**alike), name="own.xml", molecules_per_unit=10.0)
    assert follows(samples[:, 1, 0], binom.pmf(np.arange(1001), 1000, math.exp(-1)))


def test_a_scaled_law_of_two_equal_molecules_keeps_its_form(run):
    # At the start (k / X) n n happen a time, where molecules would have (k / X) n (n - 1): 4 and not 3 for n = 4.
    samples = run("species A = 2, B = 0; A + A => B; 0.5*A*A;", [0.02], 4000, molecules_per_unit=2.0)[:, 0, 1]
    assert abs((samples == 0).mean() - math.exp(-0.02 * 4)) < 4.5 * math.sqrt(0.077 * 0.923 / 4000)


def test_concentrations_are_scaled_to_molecules(run):
    text = "compartment C = 1e-3; species A in C = 0.1, B in C = 0; A => B; 0.1*A*C; at (time > 5): B = 0.5;"
    with pytest.raises(InputError, match=r"reaches 0.0001.*--molecules-per-unit X"):
        run(text)
    samples = run(text, [0.0, 4.0, 5.0, 5.000001], molecules_per_unit=1e6)
    assert (samples[:, 0] == [100, 0]).all()
    assert follows(samples[:, 1, 0], binom.pmf(np.arange(101), 100, math.exp(-0.4)))
    assert np.median(samples[:, 3, 1]) == 500


def test_a_start_without_a_value_is_refused(run):
    with pytest.raises(InputError, match=r"species `B` .*reaches nan"):
        run("species A = 5, B; B = 0/0; A => B; A;")


def test_a_start_that_is_whole_but_for_rounding_is_whole(run):
    assert 0.07 * 100 != 7
    assert (run("compartment C = 100; species A in C = 0.07; A => ; A;", [0.0], 1) == 7).all()


@pytest.mark.parametrize("reaction", ["0.5 A => B; A", "n A => B; A; n = 1; at (A < 3): n = 2"])
def test_stoichiometries_that_are_not_fixed_whole_numbers_are_refused_by_name(run, reaction):
    with pytest.raises(InputError, match=r"reaction `_J0`.*fixed whole numbers"):
        run(f"{MASSES} {reaction};")


@pytest.mark.parametrize(
    ("law", "at_first"),
    [
        ("5*A^2/(50^2 + A^2)", 4),  # Hill
        ("min(A, 4)", 4),
        ("abs(96 - A)", 4),
        ("floor(4.5)", 4),
        ("ceil(A/30)", 4),
        ("max(4, A - 200)", 4),
        ("k; k = 6 - 2", 4),
        ("-k*A; k = -0.04", 4),
    ],
)
def test_functions_in_laws_have_their_values(run, law, at_first):
    samples = run(f"species A = 100, B = 0; A => B; {law};", [0.01], 3000)[:, 0, 1]
    assert abs(samples.mean() - 0.01 * at_first) < 4.5 * math.sqrt(0.01 * at_first / 3000) + 1e-3


def test_a_rate_of_zero_never_happens(run):
    assert (run("species A = 5; k = 0; A => ; k*A;", trajectories=5) == 5).all()


def test_bounds_hold_every_value_and_evaluate_constants():
    known = {"x": (0.0, math.inf), "k": (2.0, 2.0), "p": (-1.0, 3.0)}
    assert value(apply("power", ci("k"), cn(3.0)), known) == 8
    assert bounds(apply("divide", ci("k"), apply("plus", cn(1.0), ci("x"))), known) == (0, 2)
    assert bounds(apply("times", ci("p"), ci("p")), known) == (-3, 9)
    assert bounds(apply("minus", cn(1.0), apply("sin", ci("x"))), known) == (0, 2)
    assert bounds(piecewise([(apply("minus", cn(5.0), ci("x")), apply("lt", ci("x"), cn(5.0)))], cn(1.0)), known) == (
        0,
        5,
    )


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_simulate_writes_what_read_reads_with_times_and_names(tmp_path, suffix):
    out = tmp_path / f"mine{suffix}"
    (tmp_path / "m.ant").write_text("model m()\n species Prey = 3, Cat = 2; Prey => ; Prey; Cat => ; Cat;\nend")
    command = [sys.executable, "-m", "weightflow", "simulate", str(tmp_path / "m.ant"), "--out", str(out)]
    command += ["--times", "0.5:2.5:0.5", "--trajectories", "6"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    array = Simulator(find_system(tmp_path / "m.ant")).run(6, 0, np.arange(0.5, 2.6, 0.5))
    assert ("does not hold these times" in told) == (suffix == ".npy")
    data = read(out)
    assert np.array_equal(np.stack(data.snapshots.samples, axis=1), array)
    if suffix == ".npz":
        assert data.snapshots.species == ("Prey", "Cat")
        assert np.allclose(np.asarray(data.snapshots.times), [0.5, 1, 1.5, 2, 2.5])
        with np.load(out, allow_pickle=False) as held:
            assert set(held.files) == {"times", "samples", "species"}
