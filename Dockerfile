# docker build -t cmo-tf .                        on CPU
# docker build -t cmo-tf --build-arg EXTRA=gpu .  with TensorFlow's CUDA libraries (run it with --gpus all)
# docker run --rm -v "$PWD/runs:/work/runs" cmo-tf --flagfile=flags/quickstart.cfg
FROM python:3.11-slim
ARG EXTRA=""
WORKDIR /work
COPY requirements.txt pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir -r requirements.txt
COPY cmo_tf ./cmo_tf
COPY flags ./flags
COPY tools ./tools
RUN pip install --no-cache-dir ".${EXTRA:+[$EXTRA]}" && useradd --create-home cmo && mkdir -p runs data && chown cmo runs data
USER cmo
ENTRYPOINT ["python", "-m", "cmo_tf.main"]
CMD ["--helpshort"]
