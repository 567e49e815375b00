"""The same network, loss and optimizer in PyTorch: answers lines "mode D batch steps" with the milliseconds of a step."""
import sys
import time

import torch
from torch import nn

torch.set_num_threads(2)


def trainer(D, batch):
    layers = [nn.Linear(i, o) for i, o in zip([D + 1, 256, 256, 256, 256], [256, 256, 256, 256, D])]
    net = nn.Sequential(*[m for layer in layers for m in (layer, nn.ReLU())][:-1])
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.9, 0.95))
    points, P = torch.randn(10_000, 2), torch.linalg.qr(torch.randn(D, 2))[0]

    def step():
        x = points[torch.randint(0, 10_000, (batch,))] @ P.T
        t, eps = torch.rand(batch, 1), torch.randn(batch, D)
        z = t * x + (1 - t) * eps
        weight = 1 / (1 - t).clamp(min=0.05) ** 2
        loss = (weight * (net(torch.cat([z, t], -1)) - x) ** 2).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    return step


steps = {}
for line in sys.stdin:
    mode, D, batch, count = line.split()
    key = mode, int(D), int(batch)
    if key not in steps:
        step = trainer(*key[1:])
        steps[key] = torch.compile(step) if mode == "compiled" else step
        for _ in range(5):
            steps[key]()
    start = time.perf_counter()
    for _ in range(int(count)):
        steps[key]()
    print(1e3 * (time.perf_counter() - start) / int(count), torch.__version__, flush=True)
