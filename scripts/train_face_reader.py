"""Train the face reader, the tracker's second look at the picture, on faces of scripts/prepare_faces.py.

python scripts/train_face_reader.py
python scripts/train_face_reader.py data.root=[data/faces/drawn] data.shares=[1] run=runs/face_reader

Run it again with the same run=... folder to resume; --help lists every option.
"""

from emotalker.core.launch import launch

if __name__ == "__main__":
    launch("face_reader", "emotalker.training.face_reader:train")
