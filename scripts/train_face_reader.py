"""Train the face reader, which corrects the tracker on synthetic faces, on the faces of scripts/prepare_faces.py.

python scripts/train_face_reader.py
python scripts/train_face_reader.py data.root=[data/faces/synthetic] data.weights=[1] run=runs/face_reader

Run it again with the same run=... folder to resume; --help lists all settings.
"""

from emotalker.core.launch import launch
from emotalker.settings.face_reader import FaceReaderTraining

if __name__ == "__main__":
    launch(FaceReaderTraining, "emotalker.training.face_reader:train")
