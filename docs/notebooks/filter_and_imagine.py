# %% [markdown]
# # Filter and imagine

# %%
import seqvae
seqvae.__version__
