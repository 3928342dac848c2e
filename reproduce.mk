# make reproduce DATA=DIR      trains RPN and O-Net as the default weights were trained, and scores them
# make reproduce-classic DATA=DIR  trains P-Net, R-Net and O-Net as the classic ones were trained, and scores them
# make calibrate DATA=DIR …    chooses thresholds for the networks in NETWORKS on the images in HELD_OUT
# make scores DATA=DIR …       scores the networks in NETWORKS by every protocol and prints the model card's tables
#
# DATA holds
#   wider_face/     WIDER FACE: WIDER_train, WIDER_val, wider_face_split with the .mat lists of the validation part
#   lfw_points/     CNN_FacePoint's net_7876 with trainImageList.txt and testImageList.txt
#   lfpw/           LFPW with five points, in the same format
#   face_mask_voc/  people with and without masks, as Pascal VOC
#   no_faces/       images without faces, in any folders
#   fddb/           FDDB: originalPics, FDDB-folds
# each whole or in part: images that lists name and that are not there are left out and counted.
#
# Everything is written to WORK, reproduced or reproduced_classic by default. Builds and trainings go on where they were
# stopped; what comes after them is done anew.
# BUILD_FLAGS and TRAIN_FLAGS are added to every build and training, and INIT_FROM is a folder of networks to begin with.
# In short, with trained networks, since new ones find nothing yet after so few steps:
#   make reproduce DATA=DIR WORK=try INIT_FROM=mtcnn_tf/weights/default BUILD_FLAGS=--max_images=100 \
#       TRAIN_FLAGS="--epochs=1 --steps_per_epoch=20 --learning_rate=0.0001"
#
# On an accelerator, with JAX installed, the trainings take minutes: name it for them alone,
# make reproduce DATA=DIR TRAIN_ENV=KERAS_BACKEND=jax

WORK := $(if $(filter reproduce-classic,$(MAKECMDGOALS)),reproduced_classic,reproduced)
NETWORKS := $(WORK)/networks
HELD_OUT := $(WORK)/records/onet/held_out.txt

CLASSIC := mtcnn_tf/weights/classic

# The recipe of the default weights: what each build and each training is told beside its stage and folders. The RPN
# that ships was trained in five starts, each from the one before, the last alone with rotated windows; here it is
# one, as long as these together. O-Net begins with the classic one, made wide, sees crops that each step cuts anew
# and that show 1.3 times the square they tell of, and learns faces and boxes alone: what ships was made wide after a
# sixth, saw crops covered in part after a quarter, and crops cut by edges and rotated negatives after a half. Then its
# landmarks, from crops of the square itself, in layers of their own. These are the same in both O-Nets that ship:
# here they begin as these are and learn on; they had six starts, the last two of which alone learnt by distances
# (docs/experiments.md).
TRAIN_RPN := --epochs=85 --steps_per_epoch=1000 --batch_size=8 --window=320 --learning_rate=0.003 --weight_decay=0.001 \
    --warmup=0.01 --ema=0.998
BUILD_ONET := --crops=on_the_fly --margin=1.3 --thresholds=0.03 --min_face_size=12 --max_rotation=30
TRAIN_ONET := --variant=wide --landmarks=none --epochs=96 --steps_per_epoch=500 --batch_size=256 \
    --learning_rate=0.0015 --ema=0.998 --mix=3:1:1:0 --box_weight=1 --warmup=0.02 --weight_decay=0.0005
BUILD_LANDMARKS := --max_mined_negatives=0 --min_face_size=24 --negatives=0 --negatives_near_face=0 \
    --trials_per_face=0 --landmark_trials_per_face=60 --min_scale=0.85 --max_scale=1.2 --max_shift=0.1 --max_rotation=25
TRAIN_LANDMARKS := --epochs=41 --steps_per_epoch=300 --batch_size=256 --learning_rate=0.001 --ema=0.998 --warmup=0.03 \
    --weight_decay=0.0005 --landmark_loss=distances
INIT_RPN = $(if $(INIT_FROM),--init_from=$(INIT_FROM)/rpn.keras)
INIT_ONET = --init_from=$(or $(INIT_FROM),$(CLASSIC))/onet.keras

# That of the classic weights. P-Net is trained twice, the second time with its own first proposals as negatives. The
# R-Net and O-Net that ship were trained in several starts, each from the one before, and O-Net is the mean of three of
# them (docs/experiments.md); here every training is one, as long as theirs together. All learn from labels by the IoU
# with a face's box, but O-Net's landmarks, which come last, as above.
BUILD_PNET_FIRST := --overlap=box
TRAIN_PNET_FIRST := --epochs=6 --batch_size=1024 --learning_rate=0.002
BUILD_PNET := --overlap=box --thresholds=0.3 --max_mined_negatives=100 --min_face_size=16
TRAIN_PNET := --epochs=50 --batch_size=1024 --learning_rate=0.015
BUILD_RNET := --overlap=box --thresholds=0.2 --max_mined_negatives=150 --min_face_size=16 --max_rotation=15
TRAIN_RNET := --epochs=28 --steps_per_epoch=1200 --batch_size=1024 --learning_rate=0.006
BUILD_CLASSIC_ONET := --overlap=box --thresholds=0.2,0.1 --max_mined_negatives=200 --min_face_size=16 \
    --trials_per_face=10 --landmark_trials_per_face=60 --max_rotation=15
TRAIN_CLASSIC_ONET := --epochs=60 --steps_per_epoch=1500 --batch_size=256 --learning_rate=0.002 --precision=mixed_bfloat16 \
    --box_weight=1 --landmark_weight=10 --mix=3:1:1:4

# Every fourth image without faces, by name, is kept from training: on these false positives are counted.
NO_FACES_TRAIN := $(WORK)/no_faces_train.txt
NO_FACES_TEST := $(WORK)/no_faces_test.txt
POINTS := --dataset=points:$(DATA)/lfw_points --dataset=points:$(DATA)/lfpw
SETS := --dataset=wider_face:$(DATA)/wider_face $(POINTS) --dataset=voc:$(DATA)/face_mask_voc \
    --dataset=folder:$(NO_FACES_TRAIN)

build = $(RUN) -m data_prep.build --stage=$(1) $(or $(2),$(SETS)) $(BUILD_FLAGS)
start = $(TRAIN_ENV) $(RUN) train.py --stage=$(1)
train = $(call start,$(1)) $(if $(INIT_FROM),--init_from=$(INIT_FROM)/$(1).keras)
evaluate = $(RUN) -m mtcnn_tf.cli.evaluate --model=ours=$(NETWORKS) --protocol=$(1) --out_dir=$(WORK)/scores
CURVE_OF_PNET := --thresholds=0.3,0.1,0.0001
CURVE_OF_RPN := --thresholds=0.03,0.0001
WHOLE_CURVE = $(if $(filter reproduce,$(MAKECMDGOALS))$(wildcard $(NETWORKS)/rpn.keras),$(CURVE_OF_RPN),$(CURVE_OF_PNET))

define choose_thresholds
$(RUN) -m mtcnn_tf.cli.calibrate --networks=$(NETWORKS) --dataset=wider_face:$(DATA)/wider_face \
    --dataset=folder:$(NO_FACES_TRAIN) --images=$(HELD_OUT)
endef

define print_scores
$(call evaluate,wider_face) --dataset_dir=$(DATA)/wider_face $(WHOLE_CURVE)
$(call evaluate,fddb) --dataset_dir=$(DATA)/fddb $(WHOLE_CURVE)
$(call evaluate,landmarks)/lfpw --dataset_dir=$(DATA)/lfpw
$(call evaluate,landmarks)/lfw_points --dataset_dir=$(DATA)/lfw_points
$(call evaluate,false_positives) --dataset_dir=$(DATA)/no_faces --images=$(NO_FACES_TEST) $(WHOLE_CURVE)
$(call evaluate,breakdown) --dataset_dir=$(DATA)/wider_face
$(call evaluate,breakdown)/masks --dataset_dir=voc:$(DATA)/face_mask_voc --images=$(HELD_OUT)
@echo
@$(RUN) -m mtcnn_tf.cli.card $(WORK)/scores
endef

.PHONY: reproduce reproduce-classic calibrate scores lists

reproduce: setup lists
	$(call build,rpn) --out_dir=$(WORK)/records
	$(call start,rpn) $(INIT_RPN) --records_dir=$(WORK)/records --networks=$(WORK)/networks $(TRAIN_RPN) $(TRAIN_FLAGS)
	$(call build,onet) --out_dir=$(WORK)/records --networks=$(WORK)/networks $(BUILD_ONET)
	$(call start,onet) $(INIT_ONET) --records_dir=$(WORK)/records --networks=$(WORK)/boxes $(TRAIN_ONET) $(TRAIN_FLAGS)
	$(call build,onet,$(POINTS)) --out_dir=$(WORK)/records/landmarks --networks=$(WORK)/networks --thresholds=0.3 \
	    $(BUILD_LANDMARKS)
	$(RUN) train.py --stage=onet --train_only=landmarks --init_from=$(WORK)/boxes/onet.keras \
	    --landmarks_from=$(CLASSIC)/onet.keras --records_dir=$(WORK)/records/landmarks --networks=$(WORK)/networks \
	    $(TRAIN_LANDMARKS) $(TRAIN_FLAGS)
	$(choose_thresholds)
	$(RUN) export.py --networks=$(NETWORKS) --out_dir=$(WORK)/exported
	$(print_scores)

reproduce-classic: setup lists
	$(call build,pnet) --out_dir=$(WORK)/records/first $(BUILD_PNET_FIRST)
	$(call train,pnet) --records_dir=$(WORK)/records/first --networks=$(WORK)/first $(TRAIN_PNET_FIRST) $(TRAIN_FLAGS)
	$(call build,pnet) --out_dir=$(WORK)/records --networks=$(WORK)/first $(BUILD_PNET)
	$(call train,pnet) --records_dir=$(WORK)/records --networks=$(WORK)/networks $(TRAIN_PNET) $(TRAIN_FLAGS)
	$(call build,rnet) --out_dir=$(WORK)/records --networks=$(WORK)/networks $(BUILD_RNET)
	$(call train,rnet) --records_dir=$(WORK)/records --networks=$(WORK)/networks $(TRAIN_RNET) $(TRAIN_FLAGS)
	$(call build,onet) --out_dir=$(WORK)/records --networks=$(WORK)/networks $(BUILD_CLASSIC_ONET)
	$(call train,onet) --records_dir=$(WORK)/records --networks=$(WORK)/first $(TRAIN_CLASSIC_ONET) $(TRAIN_FLAGS)
	$(call build,onet,$(POINTS)) --out_dir=$(WORK)/records/landmarks --networks=$(WORK)/networks --thresholds=0.2,0.1 \
	    $(BUILD_LANDMARKS)
	$(RUN) train.py --stage=onet --train_only=landmarks --init_from=$(WORK)/first/onet.keras \
	    --landmarks_from=$(CLASSIC)/onet.keras --records_dir=$(WORK)/records/landmarks --networks=$(WORK)/networks \
	    $(TRAIN_LANDMARKS) $(TRAIN_FLAGS)
	$(choose_thresholds)
	$(RUN) export.py --networks=$(NETWORKS) --out_dir=$(WORK)/exported
	$(print_scores)

calibrate: setup lists
	$(choose_thresholds)

scores: setup lists
	$(print_scores)

lists:
	@test -d "$(DATA)/wider_face" || { echo "Name the folder of the photographs: make $(MAKECMDGOALS) DATA=DIR" \
	    "(reproduce.mk says what is in it)." >&2; exit 1; }
	@mkdir -p $(WORK)
	@find $(abspath $(DATA)/no_faces) -type f | LC_ALL=C sort | awk 'NR % 4 != 0' >$(NO_FACES_TRAIN)
	@find $(abspath $(DATA)/no_faces) -type f | LC_ALL=C sort | awk 'NR % 4 == 0' >$(NO_FACES_TEST)
