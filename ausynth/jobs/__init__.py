"""Long jobs, and the executors that spread them over processes and machines.

>>> from ausynth.jobs import open_executor
>>> with open_executor("local", workers=0) as executor:
...     [outcome.value for outcome in executor.map(lambda word, note: word.upper(), ["au1", "au2"])]
['AU1', 'AU2']
"""

from ausynth.jobs.executors import EXECUTORS, Executor, Outcome, open_executor

__all__ = ["EXECUTORS", "Executor", "Outcome", "open_executor"]
