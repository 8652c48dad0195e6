"""What Python makes of the products that come: a line of JSON for each, up to both of a frame.

python -m tests.flight.gnc.fprime.expected_products ENDPOINT LAST_FRAME_ID RADIUS
"""

from __future__ import annotations

import json
import sys

from flight.client import LandingCircles, NavigationFix, Subscriber, landing_circles, navigation_fix
from flight.icd.limits import TOPIC_HAZARD, TOPIC_NAVIGATION

MOST_CIRCLES = 3


def main(endpoint: str, last_frame_id: str, radius: str) -> None:
    """Print `subscribed`, then the lines."""
    with Subscriber(endpoint, [TOPIC_NAVIGATION, TOPIC_HAZARD], newest=False) as products:
        print("subscribed", flush=True)
        last = 0
        for product in products:
            line = {"topic": product.topic, "frame_id": product.header["frame_id"]}
            if product.topic == TOPIC_NAVIGATION:
                fix = navigation_fix(product)
                names = ("x", "y", "covariance_xx", "covariance_xy", "covariance_yy")
                line["values"] = [getattr(fix, name) for name in names] if isinstance(fix, NavigationFix) else []
            else:
                circles = landing_circles(product, float(radius), MOST_CIRCLES)
                found = circles.circles if isinstance(circles, LandingCircles) else ()
                line["values"] = [[circle.x, circle.y, circle.radius] for circle in found]
            print(json.dumps(line), flush=True)
            last += product.header["frame_id"] == int(last_frame_id)
            if last == 2:
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
