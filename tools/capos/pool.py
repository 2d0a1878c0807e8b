# SPDX-License-Identifier: MIT
"""Runs jobs side by side, so many units of weight at a time; a job heavier than the pool runs alone."""
import threading


def run(jobs, width, done):
    """jobs: (weight, function) in order; done(result) is called for each as it ends, one at a time."""
    room = threading.Condition()
    state = {"free": width}
    failure = []

    def work(weight, function):
        try:
            result = function()
            with room:
                done(result)
        except BaseException as error:  # handed to the caller below
            failure.append(error)
        finally:
            with room:
                state["free"] += weight
                room.notify_all()

    threads = []
    for weight, function in jobs:
        weight = min(weight, width)
        with room:
            while state["free"] < weight and not failure:
                room.wait()
            if failure:
                break
            state["free"] -= weight
        thread = threading.Thread(target=work, args=(weight, function), daemon=True)
        thread.start()
        threads = [t for t in threads if t.is_alive()] + [thread]
    for thread in threads:
        thread.join()
    if failure:
        raise failure[0]
