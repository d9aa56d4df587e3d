"""Golden vectors of TRL 1.16's reward library: run its own functions on small completions.

    python trl_rewards.py        needs trl==1.16.0

The cosine reward asks a checker of formulas whether an answer is right; it is answered for here, since the curve
over the length is what is tested.
"""

from reference import Cases
from trl.rewards import accuracy_rewards, get_repetition_penalty_reward, get_soft_overlong_punishment, think_format_reward

cases = Cases("trl")
PRESET = "trl/reasoning.toml"
RIGHT, WRONG = "<think>a</think>7", "<think>a</think>8"

texts = [
    RIGHT, "<think>a</think>", "<think>a\nb</think>\n7", "a</think>7", "<think>a7", "7", "", " <think>a</think>7",
    "<think>a</think>b</think>7", "<think>a<think>b</think>7", "<think></think>7", "<think>a</think>7<think>",
    "x\n<think>a</think>7", "<think>a</think>7\n\n",
]
for text in texts:
    cases.add(PRESET, text, "7", {"format": think_format_reward([[{"content": text}]])[0]})

repetition = get_repetition_penalty_reward(3, -1.0)
for ids in [[], [1], [1, 2], [1, 2, 3], [5] * 5, [1, 2, 3] * 4, [1, 2, 3, 4, 1, 2, 3, 5], list(range(50)), [7, 7] * 20]:
    cases.add(PRESET, RIGHT, "7", {"repetition": repetition(completion_ids=[ids])[0]}, tokens=ids)

overlong = get_soft_overlong_punishment(max_completion_len=1000, soft_punish_cache=200)
for n in [0, 1, 799, 800, 801, 850, 999, 1000, 1001, 1200]:
    cases.add(PRESET, RIGHT, "7", {"overlong": overlong(completion_ids=[[0] * n])[0]}, tokens=n)

cosine = accuracy_rewards.get_cosine_scaled_reward(max_len=1000, min_value_wrong=-1.0, max_value_wrong=-0.5,
                                                   min_value_correct=0.5, max_value_correct=1.0)
for right, text in [(1.0, RIGHT), (0.0, WRONG)]:
    accuracy_rewards.accuracy_reward = lambda completions, solution, right=right: [right]
    for n in [0, 1, 100, 250, 500, 750, 999, 1000, 1300]:
        value = cosine([[{"content": text}]], ["7"], [[0] * n])[0]
        cases.add(PRESET, text, "7", {"length": value, "accuracy": right}, tokens=n)

cases.write()
