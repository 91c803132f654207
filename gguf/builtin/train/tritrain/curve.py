"""The loss curve as a picture (SVG)."""

import math

_W, _H, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 380, 58, 20, 34, 48


def svg(history, title):
    """history: entries with tokens, loss and now and then validation; losses on a logarithmic axis."""
    most = history[-1]["tokens"]
    losses = [h["loss"] for h in history] + [h["validation"] for h in history if "validation" in h]
    low, high = math.log(min(losses) * .9), math.log(max(losses) * 1.1)
    x = lambda tokens: _LEFT + (_W - _LEFT - _RIGHT) * tokens / most
    y = lambda loss: _TOP + (_H - _TOP - _BOTTOM) * (high - math.log(loss)) / (high - low)
    text = lambda at, down, s, more="": f'<text x="{at:.0f}" y="{down:.0f}" {more}>{s}</text>'
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_W} {_H}" font-family="sans-serif" font-size="12" fill="#333">',
           f'<rect width="{_W}" height="{_H}" fill="#fff"/>', text(_LEFT, 20, title, 'font-size="14"')]
    for loss in (.2, .3, .5, 1, 2, 3, 5, 8):
        if low <= math.log(loss) <= high:
            out.append(f'<path d="M{_LEFT} {y(loss):.1f}H{_W - _RIGHT}" stroke="#ddd"/>' + text(_LEFT - 8, y(loss) + 4, f"{loss:g}", 'text-anchor="end"'))
    step = next(s for s in (1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 2e7, 5e7, 1e8) if most / s <= 8)
    for i in range(int(most / step) + 1):
        n = i * step
        label = f"{n / 1e6:g} M" if step >= 1e5 else f"{n / 1e3:g} k"
        out.append(f'<path d="M{x(n):.1f} {_TOP}V{_H - _BOTTOM}" stroke="#eee"/>' + text(x(n), _H - _BOTTOM + 18, label, 'text-anchor="middle"'))
    out.append(text((_LEFT + _W - _RIGHT) / 2, _H - 10, "tokens", 'text-anchor="middle"'))
    line = " ".join(f"{x(h['tokens']):.1f},{y(h['loss']):.1f}" for h in history)
    out.append(f'<polyline points="{line}" fill="none" stroke="#1f6fb4" stroke-width="1.5"/>')
    out += [f'<circle cx="{x(h["tokens"]):.1f}" cy="{y(h["validation"]):.1f}" r="3.5" fill="#d4572a"/>' for h in history if "validation" in h]
    out.append(text(_W - _RIGHT - 8, _TOP + 16, "training loss, mean of 50 steps", 'text-anchor="end" fill="#1f6fb4"'))
    out.append(text(_W - _RIGHT - 8, _TOP + 34, "loss on rows that are never trained on", 'text-anchor="end" fill="#d4572a"'))
    return "\n".join(out) + "\n</svg>\n"
