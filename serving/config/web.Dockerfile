# Builds an image with this project, its web service and its client. In the folder of the repository:
#
#   docker build -f serving/config/web.Dockerfile --build-arg MODELS=models -t chest-xray-pipeline .
#   docker run -p 127.0.0.1:8080:8080 chest-xray-pipeline serving.web --host 0.0.0.0 --address SERVER:8500
#   docker run chest-xray-pipeline serving.client --address SERVER:8500 --verify /models
#
# MODELS is the folder to which `python -m serving.export RUN MODELS` has written. Its golden images tell --verify what
# the evaluated model answers. The first argument is the module that runs: every command of the project is inside.
FROM python:3.13-slim

LABEL org.opencontainers.image.title="chest-xray-pipeline" \
      org.opencontainers.image.description="Web service and client of the pneumonia classifier" \
      org.opencontainers.image.licenses="Apache-2.0"

WORKDIR /source
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY tfrecords_builder tfrecords_builder
COPY pipeline pipeline
COPY tuning tuning
COPY serving serving
RUN pip install --no-cache-dir --constraint constraints.txt '.[web,dicom]' && rm -rf /source

ARG MODELS=models
COPY ${MODELS}/pneumonia /models/pneumonia

# No name of a user, so that Kubernetes can tell that it is not root.
USER 10001
WORKDIR /tmp
ENV MPLCONFIGDIR=/tmp
EXPOSE 8080
ENTRYPOINT ["python", "-m"]
CMD ["serving.web", "--host", "0.0.0.0"]
