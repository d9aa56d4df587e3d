"""Writes miniatures of Stanford Cars' MATLAB files, as scipy saves structures: packed and plain.

    pip install numpy scipy
    python make_cars.py
"""
import pathlib

import numpy as np
from scipy.io import savemat

HERE = pathlib.Path(__file__).parent
NAMES = np.array(["AM General Hummer SUV 2000", "Acura RL Sedan 2012"], dtype=object)


def records(rows, fields):
    kinds = [(field, object) for field in fields]
    return np.array([tuple(row) for row in rows], dtype=kinds)


box = [np.uint8(3), np.uint8(4), np.uint16(300), np.uint16(200)]
corners = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"]
whole = [[f"car_ims/{n:06}.jpg", *box, np.uint8(label), np.uint8(test)] for n, label, test in [(1, 1, 0), (2, 2, 0), (3, 2, 1)]]
savemat(HERE / "cars_annos.mat",
        {"annotations": records(whole, ["relative_im_path", *corners, "class", "test"]), "class_names": NAMES}, do_compression=True)
train = [[*box, np.uint8(label), f"{n:05}.jpg"] for n, label in [(1, 2), (2, 1)]]
savemat(HERE / "cars_train_annos.mat", {"annotations": records(train, [*corners, "class", "fname"])})
test = [[*box, np.uint8(label), f"{n:05}.jpg"] for n, label in [(1, 1)]]
savemat(HERE / "cars_test_annos_withlabels.mat", {"annotations": records(test, [*corners, "class", "fname"])})
savemat(HERE / "cars_test_annos.mat", {"annotations": records([row[:4] + row[5:] for row in test], [*corners, "fname"])})
savemat(HERE / "cars_meta.mat", {"class_names": NAMES}, do_compression=True)
