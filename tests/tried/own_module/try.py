"""Task 5: a GRU, judged and compared with a spiking network; then a plain training loop."""

import torch
from gru import SmallGRU, spiking
from make_wavs import make
from torch.utils.data import DataLoader, Subset

from shd_corpus import encode_recordings
from shd_helpers import JudgeOptions, TrainConfig, judge, load_events

make("my_wavs")
events = load_events(encode_recordings("my_wavs"))

options = JudgeOptions(train_config=TrainConfig(lr=5e-3))
ours = judge(SmallGRU, events, epochs=12, seeds=(0, 1), options=options)
print(ours)
theirs = judge(spiking, events, epochs=12, seeds=(0, 1), options=options)
print(theirs)
print(ours.compare(theirs))
print(ours.accuracies)

# my own loop; I hold out speaker 1 (events.speakers isn't on the page: found by guessing)
data = events.dataset()
held_out = torch.as_tensor(events.speakers == 1)
train = Subset(data, (~held_out).nonzero().flatten().tolist())
test = Subset(data, held_out.nonzero().flatten().tolist())
torch.manual_seed(0)
model = SmallGRU(events.n_units, len(events.class_names))
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
batches = DataLoader(train, batch_size=8, shuffle=True, collate_fn=data.collate)
for _ in range(12):
    for frames, labels in batches:
        loss = torch.nn.functional.cross_entropy(model(frames), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
frames, labels = next(iter(DataLoader(test, batch_size=len(test), collate_fn=data.collate)))
with torch.no_grad():
    answers = model(frames).argmax(1)
print(
    f"own loop, speaker 1 held out: loss {loss.item():.3f}, "
    f"{(answers == labels).float().mean().item():.1%} correct of {len(test)}"
)
